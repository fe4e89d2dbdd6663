//! HLS playlists (RFC 8216): model, reader and writer, the requests that they lead to, and the selection of the
//! variants that viewers play.

pub mod playlist;
pub mod query;
pub mod request_target;
pub mod selection;
pub mod steering;
