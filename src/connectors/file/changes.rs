//! Wakes whoever follows a file when it changes. The system does not report every change, such as one by another machine, so a reader looks again
//! after some time in any case.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use self::system::Watch;

/// The changes of the file that a path names.
#[derive(Debug)]
pub(super) struct Changes(Option<Watch>);

impl Changes {
    /// Without reports if the system makes none, or has no watch left for this user.
    pub(super) fn new() -> Self {
        Self(Watch::new())
    }

    /// Watches the file that `path` names now. False if it was not watched until now, so that earlier changes are not reported.
    pub(super) fn follow(&mut self, path: &Path) -> bool {
        self.0.as_mut().is_none_or(|watch| watch.follow(path))
    }

    /// Waits until the file has changed since the last call, at most for `span`. True if it has.
    pub(super) async fn within(&self, span: Duration) -> bool {
        let Some(watch) = &self.0 else {
            tokio::time::sleep(span).await;
            return false;
        };
        timeout(span, watch.changed()).await.is_ok()
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tracing::debug;

    /// Room for some events, which are not told apart.
    const EVENTS: usize = 1_024;

    #[derive(Debug)]
    pub(super) struct Watch {
        events: AsyncFd<OwnedFd>,
        /// The watch on the file that was named last.
        current: Option<i32>,
    }

    impl Watch {
        pub(super) fn new() -> Option<Self> {
            match Self::events() {
                Ok(events) => Some(Self {
                    events,
                    current: None,
                }),
                Err(failure) => {
                    debug!(%failure, "changes of a file are not reported; it is looked at from time to time");
                    None
                }
            }
        }

        #[expect(
            deprecated,
            reason = "what replaces it is unsafe, and an `OwnedFd` is all that it asks for"
        )]
        fn events() -> io::Result<AsyncFd<OwnedFd>> {
            let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            AsyncFd::with_interest(events, Interest::READABLE)
        }

        pub(super) fn follow(&mut self, path: &Path) -> bool {
            // Attributes also change when the file loses its name to another one.
            let kinds = WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::ATTRIB;
            // A file that cannot be watched is only looked at.
            let added = inotify::add_watch(&self.events, path, kinds).ok();
            let before = std::mem::replace(&mut self.current, added);
            if before == added {
                return true;
            }
            if let Some(before) = before {
                // It ended with its file, if that is gone.
                let _ = inotify::remove_watch(&self.events, before);
            }
            added.is_none()
        }

        pub(super) async fn changed(&self) {
            let take = |events: &OwnedFd| Ok(rustix::io::read(events, &mut [0; EVENTS])?);
            if let Err(failure) = self.events.async_io(Interest::READABLE, take).await {
                debug!(%failure, "the reports of changes cannot be read");
                // From now on only time ends a wait.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;

    #[derive(Debug)]
    pub(super) struct Watch;

    impl Watch {
        pub(super) const fn new() -> Option<Self> {
            None
        }

        pub(super) const fn follow(&mut self, _: &Path) -> bool {
            true
        }

        pub(super) async fn changed(&self) {
            std::future::pending().await
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use super::*;

    const EVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_change_ends_the_wait_also_if_it_came_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let mut file = File::create(&path).unwrap();
        let mut changes = Changes::new();
        assert!(!changes.follow(&path), "changes before this are not told");
        assert!(changes.follow(&path));
        let waited = tokio::join!(changes.within(EVER), async {
            file.write_all(b"one").unwrap();
        });
        assert!(waited.0);
        file.write_all(b"two").unwrap();
        assert!(changes.within(EVER).await);
        assert!(!changes.within(Duration::ZERO).await, "nothing new");
    }

    #[tokio::test]
    async fn another_file_under_the_name_is_watched_in_place_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let mut changes = Changes::new();
        assert!(changes.follow(&path), "there is nothing to watch");
        let mut first = File::create(&path).unwrap();
        assert!(!changes.follow(&path));
        fs::rename(&path, folder.path().join("in.1")).unwrap();
        assert!(changes.within(EVER).await, "it has got another name");
        let mut second = File::create(&path).unwrap();
        assert!(!changes.follow(&path));
        first.write_all(b"late").unwrap();
        // What ended the first watch is still told.
        while changes.within(Duration::ZERO).await {}
        second.write_all(b"new").unwrap();
        assert!(changes.within(EVER).await);
    }
}
