//! Scripts that no application fails of: one job runs them all.

mod answers;
mod delays;
mod messages;
mod states;

use super::host::Host;
use super::script::{Entry, Script};

const SCRIPTS: [&[Entry]; 4] = [
    messages::SCRIPTS,
    delays::SCRIPTS,
    states::SCRIPTS,
    answers::SCRIPTS,
];

pub(super) const TYPE: &str = "content-type: application/octet-stream\r\n";

/// The type of an address has answered, so that no later call of it holds up the real runtime.
fn known(s: &mut Script, at: &str) {
    s.feed(at, "known");
    s.calls(at, 1);
    s.settle();
}

/// Plays all scripts on a runtime, one after the other.
async fn play(host: &mut Host) -> Vec<(String, Vec<String>)> {
    let mut played = Vec::new();
    for entry in SCRIPTS.iter().copied().flatten() {
        let script = Script::of(*entry);
        let lines = host.play(&script).await;
        played.push((script.name, lines));
    }
    played
}

#[tokio::test]
async fn sf_66_functions_see_the_same() {
    let Some(mut real) = Host::real(|settings| settings.restarts = 0).await else {
        return;
    };
    let real = play(&mut real).await;
    let ours = play(&mut Host::ours(&["--attempts", "1"]).await).await;
    compare(&real, &ours);
}

/// All scripts that went otherwise are shown, with the lines that differ.
pub(super) fn compare(real: &[(String, Vec<String>)], ours: &[(String, Vec<String>)]) {
    let mut faults = String::new();
    for ((name, real), (_, ours)) in real.iter().zip(ours) {
        if real == ours {
            continue;
        }
        faults += &format!("\n`{name}` differs\n");
        for number in 0..real.len().max(ours.len()) {
            let line = |lines: &[String]| lines.get(number).cloned().unwrap_or_default();
            let (real, ours) = (line(real), line(ours));
            if real == ours {
                faults += &format!("   both {real}\n");
            } else {
                faults += &format!("   real {real}\n   ours {ours}\n");
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
