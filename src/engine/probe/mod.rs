//! The socket probe: handing it to a player, and reading its records.

pub mod bodies;
pub mod conceal;
pub mod decode;
pub mod object;
pub mod pipe;
pub mod playlists;
pub mod reader;
pub mod selftest;
