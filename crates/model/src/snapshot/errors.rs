//! Errors, counted.

use serde::{Deserialize, Serialize};

/// Errors, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Responses with a status of 400 or above.
    pub http: u64,
    /// Exchanges that the peer or the network broke off.
    pub broken: u64,
    /// Exchanges and connects given up after the time-out.
    pub timeouts: u64,
    /// Connections that could not be made.
    pub connect: u64,
    /// Errors over requests (failed connects count as both); absent before the first request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}
