//! HLS playlists (RFC 8216), and the selection of the variants that viewers play.

pub mod playlist;
pub mod selection;
