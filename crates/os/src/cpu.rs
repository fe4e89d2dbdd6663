//! How busy the machine and this program are, from /proc.

use procfs::process::Process;
use procfs::{CurrentSI, KernelStats};

/// Processor time used so far, in clock ticks.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// By everybody.
    busy: u64,
    /// In all, idle time included.
    total: u64,
    /// By this program, children not included.
    own: u64,
    /// Processors.
    processors: u64,
}

impl Load {
    /// Reads the counters; `None` where /proc hides them (`ProcSubset=pid`).
    #[must_use]
    pub fn sample() -> Option<Self> {
        let stats = KernelStats::current().ok()?;
        let cpu = &stats.total;
        let idle = cpu.idle + cpu.iowait.unwrap_or(0);
        let busy = cpu.user
            + cpu.nice
            + cpu.system
            + cpu.irq.unwrap_or(0)
            + cpu.softirq.unwrap_or(0)
            + cpu.steal.unwrap_or(0);
        let own = Process::myself().ok()?.stat().ok()?;
        Some(Self {
            busy,
            total: busy + idle,
            own: own.utime + own.stime,
            processors: stats.cpu_time.len().max(1) as u64,
        })
    }

    /// Busy share of all processors, and this program's share of one, since `earlier`, in percent.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<(f64, f64)> {
        let total = self.total.saturating_sub(earlier.total);
        let share = |ticks: u64| ticks as f64 * 100.0 / total as f64;
        (total > 0).then(|| {
            let own = share(self.own.saturating_sub(earlier.own)) * self.processors as f64;
            (share(self.busy.saturating_sub(earlier.busy)), own)
        })
    }
}
