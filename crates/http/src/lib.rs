//! HTTP clients and servers: fetching a page or a playlist, the policy of which hosts may be contacted, and small
//! servers.

pub mod fetch;
pub mod header_policy;
pub mod resolve;
pub mod server;
pub mod site_rules;
pub mod target_policy;
