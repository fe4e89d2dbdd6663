//! The event-loop lag monitor: how late timers of this program fire, and how busy the machine is.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use hls_swarm_model::event::Event;
use hls_swarm_os::machine::CpuTimes;

/// How often a timer is tested.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two samples of the processors.
const TICKS_PER_SAMPLE: u32 = 4;

/// Reports until `stop`.
pub async fn monitor(events: mpsc::Sender<Event>, stop: CancellationToken) {
    let mut before = CpuTimes::read();
    for tick in 1_u32.. {
        let due = Instant::now() + TICK;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(due) => {}
        }
        let late = Instant::now().saturating_duration_since(due);
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        drop(events.send(Event::Lag { nanos }).await);
        if tick % TICKS_PER_SAMPLE == 0 {
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
