//! A load that is divided over pods.

/// How many pods, and what each of them needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardPlan {
    /// Viewers of all pods together.
    pub clients: u32,
    /// Pods; each is one shard.
    pub pods: u32,
    /// Viewers of the pod that has most.
    pub most: u32,
    /// Viewers started per second, of all pods together.
    pub ramp_rate: u32,
    /// Stream to play; `None` = that of the base.
    pub stream_url: Option<String>,
    /// Flags that every pod gets.
    pub flags: String,
    /// Thousandths of a processor that a pod asks for.
    pub cpu_millis: u64,
    /// Memory of a pod, MiB: asked for, and the most it may have.
    pub memory_mib: u64,
    /// Open files that a pod needs; no field of Kubernetes' sets them.
    pub open_files: u64,
    /// Memory of the collector, MiB.
    pub collector_memory_mib: u64,
    /// Folder of the base, as seen from the overlay.
    pub base: String,
    /// Pods refuse to start if the stream is at a public address: too many viewers in all, and nobody's word.
    pub without_consent: bool,
}
