//! The deployment that the guide shows, as far as it can be tried here.

use crate::support::flink::parse;

const MODULE: &str = include_str!("../../../examples/behind_statefun/module.yaml");

#[tokio::test]
async fn sf_64_the_module_file_of_the_guide_loads_on_the_real_runtime() {
    let broken = MODULE.replace("kind:", "king:");
    let Some(verdicts) = parse(&[MODULE, &broken], false).await else {
        return;
    };
    assert_eq!((&verdicts[0].load, &verdicts[0].build), (&vec![], &vec![]));
    assert!(verdicts[0].binds.is_some());
    let text = "Invalid ComponentJsonObject; components should be a JSON object with the required fields [kind] and [spec].";
    assert_eq!(verdicts[1].load[0].message, text);
}
