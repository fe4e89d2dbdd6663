//! Reports of runs that are over: read again and merged. Files and printing are not its part.

mod countable;
mod document;
mod mean;
pub mod merge;
mod merge_load;
mod merged_insight;
mod merged_origin;
mod merged_verdict;
pub mod read;
