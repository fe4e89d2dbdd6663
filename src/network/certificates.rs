//! Certificate settings for FFmpeg versions whose own options have no effect. From 9.0 on, FFmpeg verifies
//! certificates by default, and its HLS demuxer passes neither `-tls_verify 0` nor `-ca_file` on to the connections
//! that fetch segments. Older versions verify nothing after the first playlist.

use crate::config::plan::Stream;
use crate::engine::ffmpeg::capability::{Capabilities, TlsBackend};

/// The certificates that the probe makes viewers trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Every certificate: `--insecure`.
    All,
    /// Certificates of the authorities in `SSL_CERT_FILE`, which GnuTLS does not read by itself.
    OfFile,
}

impl Certificates {
    /// The setting that viewers of `stream` need in an FFmpeg with these capabilities.
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

    /// The probe's setting.
    #[must_use]
    pub const fn setting(self) -> &'static str {
        match self {
            Self::All => "verify=no",
            Self::OfFile => "trust=SSL_CERT_FILE",
        }
    }

    /// The flag or variable with which the user asked for it.
    #[must_use]
    pub const fn asked(self) -> &'static str {
        match self {
            Self::All => "--insecure",
            Self::OfFile => "SSL_CERT_FILE",
        }
    }
}
