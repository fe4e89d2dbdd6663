//! HTTP at the edges: fetching a page or a playlist, and the policy of which hosts may be contacted.

pub mod fetch;
pub mod resolve;
pub mod site_rules;
pub mod target_policy;
