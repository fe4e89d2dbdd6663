//! Reports of runs that are over: read again and merged. Files and printing are not its part.

pub(crate) mod countable;
pub(crate) mod document;
pub(crate) mod insight;
pub(crate) mod load;
pub(crate) mod mean;
pub(crate) mod origin;
pub mod read;
pub mod run;
pub(crate) mod verdict;
