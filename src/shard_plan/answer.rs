//! The result of dividing a load over pods.

/// The number of pods, and the resources that each of them needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardPlan {
    /// Viewers of all pods together.
    pub clients: u32,
    /// Number of pods; each is one shard.
    pub pods: u32,
    /// Viewers of the largest pod.
    pub max_viewers: u32,
    /// Viewers started per second, of all pods together.
    pub ramp_rate: u32,
    /// Stream to play; `None` = the one in the base.
    pub stream_url: Option<String>,
    /// Flags that every pod gets.
    pub flags: String,
    /// Processor time that a pod requests, in thousandths of a processor.
    pub cpu_millis: u64,
    /// Memory of a pod in MiB, both request and limit.
    pub memory_mib: u64,
    /// Open files that a pod needs; Kubernetes has no field for them.
    pub open_files: u64,
    /// Memory of the collector, MiB.
    pub collector_memory_mib: u64,
    /// The token that the pods' reports carry.
    pub collector_token: String,
    /// Folder of the base, as seen from the overlay.
    pub base: String,
    /// Whether pods refuse a public address, because the load is large and was not confirmed.
    pub without_consent: bool,
}
