//! The task that runs a source, and runs it again when it fails.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::{Inlet, Source};
use crate::retry::Backoff;
use crate::runtime::endpoint::chain;

/// Waits between the runs of a source that fails.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    factor: 2.0,
    max: Duration::from_secs(30),
};

/// Runs `source` until it has ended, or the runtime takes no more input.
pub(in crate::runtime) async fn drive(mut source: Box<dyn Source>, inlet: Inlet) {
    let ends_by_itself = source.ends_by_itself();
    let (mut failures, mut moved) = (0, 0);
    loop {
        let renewed = inlet.renewed();
        let ended = {
            let run = source.run(&renewed);
            tokio::pin!(run);
            tokio::select! {
                ended = &mut run => ended,
                () = inlet.stopped() => match ends_by_itself {
                    true => run.await,
                    false => return,
                },
            }
        };
        let Err(failure) = ended else {
            inlet.condition().works();
            return;
        };
        if inlet.is_stopped() {
            return;
        }
        // A run that brought records has worked for some time.
        let now = inlet.condition().moved();
        failures = if now > moved { 1 } else { failures + 1 };
        moved = now;
        let wait = BACKOFF.delay(failures);
        let (source_name, retry_in_ms) = (inlet.name(), wait.as_millis());
        let failure = chain(failure.as_ref());
        warn!(source = %source_name, attempt = failures, retry_in_ms, %failure, "source failed; will run again");
        inlet.run_failed(failures, failure);
        tokio::select! {
            () = sleep(wait) => {}
            () = inlet.stopped() => return,
        }
        info!(source = %source_name, "the source runs again");
    }
}
