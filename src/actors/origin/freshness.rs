//! Whether the stream advances: tells `/health`, has a stuck encoder replaced, and removes segments
//! that an encoder which was killed can no longer remove.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::house::House;
use crate::pure::origin::derived::Derived;
use crate::pure::origin::playlist::{self, PLAYLIST};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The watch over one playlist.
#[derive(Debug)]
pub(super) struct Freshness {
    www: PathBuf,
    mark: PathBuf,
    stale_after: Duration,
    stuck_after: Duration,
    stray_after: Duration,
}

impl Freshness {
    pub(super) fn new(house: &House, derived: &Derived) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let stale_after = seconds(derived.stale_after_seconds);
        Self {
            www: house.www(),
            mark: house.fresh(),
            stale_after,
            // Starting again costs viewers a gap, so a slow encoder gets time to catch up.
            stuck_after: 2 * stale_after + Duration::from_secs(10),
            // FFmpeg itself removes a segment at the end of its lifetime.
            stray_after: seconds(derived.lifetime_seconds) + stale_after,
        }
    }

    /// Watches for ever; notifies `stuck` when the encoder should be replaced.
    pub(super) async fn watch(&self, stuck: &Notify) -> Infallible {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut seen, mut since, mut complained) = (None, Instant::now(), Instant::now());
        loop {
            looks.tick().await;
            let changed = std::fs::metadata(self.www.join(PLAYLIST)).and_then(|found| found.modified()).ok();
            if changed != seen {
                (seen, since) = (changed, Instant::now());
                self.remove_strays(SystemTime::now());
            }
            self.tell(changed.is_some() && since.elapsed() < self.stale_after);
            // An encoder that has just been started again deserves its time, too.
            if changed.is_some() && since.max(complained).elapsed() > self.stuck_after {
                complained = Instant::now();
                stuck.notify_waiters();
            }
        }
    }

    fn tell(&self, fresh: bool) {
        let outcome = match (fresh, self.mark.exists()) {
            (true, false) => std::fs::write(&self.mark, "").map(|()| tracing::debug!("the stream advances")),
            (false, true) => std::fs::remove_file(&self.mark)
                .map(|()| tracing::warn!("the stream does not advance; /health says so")),
            _ => return,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "cannot tell /health");
        }
    }

    /// Removes segments that are neither listed nor young. A listed one is never touched.
    fn remove_strays(&self, now: SystemTime) {
        let text = std::fs::read_to_string(self.www.join(PLAYLIST)).unwrap_or_default();
        let Some(listed) = playlist::read(&text) else { return };
        let Ok(entries) = std::fs::read_dir(&self.www) else { return };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let kept = name == PLAYLIST || listed.segments.iter().any(|segment| name == segment.as_str());
            let age = entry.metadata().and_then(|found| found.modified()).ok();
            let age = age.and_then(|modified| now.duration_since(modified).ok()).unwrap_or_default();
            // It may be gone by now, which is all that is wanted.
            if !kept && age > self.stray_after && std::fs::remove_file(entry.path()).is_ok() {
                tracing::debug!(?name, ?age, "removed a segment that an earlier encoder left");
            }
        }
    }
}
