//! Certificates, where FFmpeg's own options do not reach: from 9.0 on it verifies them unless told
//! otherwise, and its HLS demuxer tells neither `-tls_verify 0` nor `-ca_file` to the connections that
//! fetch segments. Older versions verify nothing behind the first playlist.

use crate::config::plan::Stream;
use crate::engine::ffmpeg::capability::{Capabilities, TlsBackend};

/// What viewers have to be made to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Every certificate: `--insecure`.
    All,
    /// Those of the authorities in `SSL_CERT_FILE`, which GnuTLS does not read by itself.
    OfFile,
}

impl Certificates {
    /// What has to be changed for viewers of `stream` by an FFmpeg that can do this much.
    #[must_use]
    pub fn needed(stream: &Stream, can: &Capabilities) -> Option<Self> {
        if can.verifies_tls_by_default() != Some(true) {
            None
        } else if !stream.verify_tls {
            Some(Self::All)
        } else {
            (stream.ca_file.is_some() && can.tls != TlsBackend::OpenSsl).then_some(Self::OfFile)
        }
    }

    /// In the probe's words.
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::All => "verify=no",
            Self::OfFile => "trust=SSL_CERT_FILE",
        }
    }

    /// How it was asked for.
    #[must_use]
    pub const fn asked(self) -> &'static str {
        match self {
            Self::All => "--insecure",
            Self::OfFile => "SSL_CERT_FILE",
        }
    }
}
