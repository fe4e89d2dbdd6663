//! The generator's watch on itself: how late its timers fire, and how busy the machine is.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use hls_swarm_model::event::Event;
use hls_swarm_os::machine::CpuTimes;

/// How often the timer is tested.
const BEAT: Duration = Duration::from_millis(250);
/// Beats between two looks at the processors.
const BEATS_PER_SAMPLE: u32 = 4;

/// Reports until `stop`.
pub async fn beat(events: mpsc::Sender<Event>, stop: CancellationToken) {
    let mut before = CpuTimes::read();
    for beat in 1_u32.. {
        let due = Instant::now() + BEAT;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(due) => {}
        }
        let late = Instant::now().saturating_duration_since(due);
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        drop(events.send(Event::Lag { nanos }).await);
        if beat % BEATS_PER_SAMPLE == 0 {
            let now = CpuTimes::read();
            if let Some((cpu_percent, own_cpu_percent)) =
                now.as_ref().zip(before.as_ref()).and_then(|(now, before)| now.since(before))
            {
                drop(events.send(Event::Machine { cpu_percent, own_cpu_percent }).await);
            }
            before = now;
        }
    }
}
