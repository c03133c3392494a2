//! Pipeline sections of EdgeX in module files.

use super::parse;

#[cfg(all(feature = "legacy-crypto", feature = "mqtt"))]
#[test]
fn pl_33_every_function_in_each_of_its_spellings_loads_and_unused_ones_are_ignored() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/edgex.yaml");
    let module = parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let names: Vec<_> = module
        .pipelines
        .iter()
        .map(|spec| spec.config.name())
        .collect();
    assert_eq!(
        names,
        ["all", "convert", "old-xml", "json", "old-json", "to-xml"]
    );
    assert!(
        module
            .pipelines
            .iter()
            .all(|spec| spec.config.namespace() == "gateway")
    );
    let warnings: Vec<_> = module.warnings.iter().map(ToString::to_string).collect();
    for text in [
        "`LogLevel` has no effect here",
        "`<put your URL here>` is not a URL",
        "`MarkAsPushed` has no effect",
        "AES-128 without a tag",
    ] {
        assert!(
            warnings.iter().any(|warning| warning.contains(text)),
            "{text} in {warnings:#?}"
        );
    }
}

#[test]
fn pl_18_all_faults_of_a_section_are_reported_at_once_with_line_and_key() {
    let text = "\
kind: statefun.pipelines.v1/pipeline
spec:
  name: floats
  edgex:
    TargetType: meric
    ExecutionOrder: \"FilterByDeviceName, Transform, JSONLogic, Bogus, HTTPExport\"
    Functions:
      FilterByDeviceName: {Parameters: {FilterOut: \"\"}}
      Transform:
        Parameters: {Type: baDType}
      JSONLogic: {Parameters: {Rule: '{\"nope\": 1}'}}
      Bogus: {}
      HTTPExport: {Parameters: {Method: post, MimeType: \"\"}}
";
    let faults: Vec<_> = parse(text)
        .unwrap_err()
        .faults
        .iter()
        .map(ToString::to_string)
        .collect();
    for expected in [
        "m.yaml:5:17: `spec.edgex.TargetType`: `meric` is not a supported target type",
        "m.yaml:8:52: `spec.edgex.Functions.FilterByDeviceName.Parameters.FilterOut`: `` is neither true nor false",
        "m.yaml:8:40: `spec.edgex.Functions.FilterByDeviceName.Parameters.DeviceNames`: is required and missing",
        "m.yaml:10:28: `spec.edgex.Functions.Transform.Parameters.Type`: `baDType` is not a type",
        "m.yaml:11:38: `spec.edgex.Functions.JSONLogic.Parameters.Rule`: unknown operator `nope`",
        "m.yaml:12:14: `spec.edgex.Functions.Bogus`: `Bogus` is not a built-in function",
        "m.yaml:13:32: `spec.edgex.Functions.HTTPExport.Parameters.Url`: is required and missing",
    ] {
        assert!(
            faults.iter().any(|fault| fault.starts_with(expected)),
            "{expected} in {faults:#?}"
        );
    }
    assert_eq!(faults.len(), 7, "{faults:#?}");
}

#[test]
fn an_edgex_section_takes_no_stages_beside_it() {
    let text = "kind: statefun.pipelines.v1/pipeline\nspec: {edgex: {ExecutionOrder: SetResponseData, Functions: {SetResponseData: }}, stages: []}\n";
    let faults = format!("{:?}", parse(text).unwrap_err().faults);
    assert!(faults.contains("key `stages` is unknown"), "{faults}");
}

#[test]
fn an_egress_that_no_document_binds_is_a_fault_of_the_pipeline_that_sends_there() {
    let pipeline = "\
kind: statefun.pipelines.v1/pipeline
spec:
  name: p
  edgex:
    ExecutionOrder: KafkaExport
    Functions:
      KafkaExport: {Parameters: {Egress: a/out, Topic: t}}
---
kind: statefun.pipelines.v1/pipeline
spec:
  name: q
  stages:
    - kinesis-export: {egress: a/out, stream: s, partitionKey: '{id}'}
";
    let faults: Vec<_> = parse(pipeline)
        .unwrap_err()
        .faults
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(faults.len(), 2, "{faults:#?}");
    for (fault, place) in faults.iter().zip([
        "spec.edgex.Functions.KafkaExport.Parameters.Egress",
        "spec.stages[0].kinesis-export.egress",
    ]) {
        assert!(fault.contains(place), "{fault}");
        assert!(
            fault.contains("no document binds the egress a/out"),
            "{fault}"
        );
    }
    let egress = "---\nkind: statefun.stdout.v1/egress\nspec: {id: a/out}\n";
    assert!(parse(&format!("{pipeline}{egress}")).is_ok());
}
