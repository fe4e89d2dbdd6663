//! The HTTP client of native viewers. It exists because it measures: exact times, exact bytes of heads and
//! bodies, the kernel's own counts, and the reason why each exchange ended. Bodies of HTTP/1.1
//! whose content does not matter are counted and discarded in the kernel (`recv` with `MSG_TRUNC`), which costs half of
//! what reading them does. HTTP/2 and HTTP/3 are spoken by well-kept libraries, in `multiplex`.
//!
//! [`response`] and [`head`] are without I/O: bytes go in, and the state of the exchange comes out. Everything else
//! belongs to one thread: a [`Shard`] holds what its viewers share (a buffer, names, TLS settings), and each viewer
//! has a [`Client`] with its connections and cookies.

mod client;
mod connect;
mod connection;
mod cookies;
pub mod head;
mod multiplex;
mod names;
mod pace;
mod proxy;
mod request;
pub mod response;
mod shard;
mod socket;
mod tls;
mod transfer;

pub use client::{Client, FetchError, Fetched};
pub use connect::credentials;
pub use proxy::{InvalidProxy, Proxies};
pub use request::Request;
pub use response::{KeepBody, Sink};
pub use shard::{Http, Policy, Settings, Shard, Trust};
pub use transfer::{ConnectFailure, End, Observer, Progress, Transfer, Version};
