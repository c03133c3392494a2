//! Standard input: read once, to its end. It has no position; what was read and not stored when the process is killed is lost.

use std::io::{self, Read as _};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::mpsc;
use tracing::info;

use super::cursor::{Cursor, Line};
use super::gather::{Gathered, Gatherer};
use crate::runtime::Inlet;
use crate::sdk::BoxError;

const NAME: &str = "standard input";
/// Bytes read at a time.
const BLOCK: usize = 256 << 10;
/// Blocks that were read and not taken yet.
const AHEAD: usize = 2;

/// The bytes of standard input.
///
/// A thread reads them, because a read that waits cannot be interrupted; it does not keep the process alive.
#[derive(Debug)]
pub(super) struct Stdin {
    blocks: mpsc::Receiver<io::Result<Bytes>>,
    /// Bytes that were read and not brought yet.
    left: BytesMut,
    cursor: Cursor,
    has_ended: bool,
}

impl Stdin {
    pub(super) fn begin() -> Self {
        let (sender, blocks) = mpsc::channel(AHEAD);
        std::thread::spawn(move || read(&sender));
        Self {
            blocks,
            left: BytesMut::new(),
            cursor: Cursor::default(),
            has_ended: false,
        }
    }

    /// Brings all lines, and returns at the end of the input.
    pub(super) async fn run(
        &mut self,
        mut gatherer: Gatherer,
        inlet: &Inlet,
    ) -> Result<(), BoxError> {
        let most = gatherer.max_line_bytes;
        loop {
            // A batch that was not brought is made again.
            let (mut cursor, mut gathered) = (self.cursor, Gathered::default());
            let mut add = |line: Line<'_>| gatherer.add(NAME, line, &mut gathered);
            let mut taken = cursor.take(&self.left, most, &mut add);
            if self.has_ended {
                cursor.take_last(self.left.get(taken..).unwrap_or_default(), &mut add);
                taken = self.left.len();
            }
            if taken > 0 {
                let _ = inlet.bring(gathered.into_batch()).await?;
                self.left.advance(taken);
                self.cursor = cursor;
            }
            if self.has_ended {
                info!(ingress = %inlet.name(), lines = self.cursor.line, "standard input has ended");
                return Ok(());
            }
            match self.blocks.recv().await {
                Some(block) => self.left.extend_from_slice(&block?),
                None => self.has_ended = true,
            }
        }
    }
}

/// Sends blocks until the end, or until nobody takes them.
fn read(blocks: &mpsc::Sender<io::Result<Bytes>>) {
    let mut input = io::stdin().lock();
    loop {
        let mut block = BytesMut::zeroed(BLOCK);
        let read = match input.read(&mut block) {
            Ok(0) => return,
            Ok(length) => {
                block.truncate(length);
                Ok(block.freeze())
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => Err(err),
        };
        let has_failed = read.is_err();
        if blocks.blocking_send(read).is_err() || has_failed {
            return;
        }
    }
}
