//! The probe's reader of contents, with the modules around it that its file expects.

use super::wire::{SNIFF_BYTES, content};

#[path = "../../object/http/content.rs"]
mod reader;

/// The content of one body: takes its bytes in order, or only their number where they do not matter.
pub struct Inspector(reader::Content);

impl Inspector {
    /// A body that has not begun.
    #[must_use]
    pub const fn new() -> Self {
        Self(reader::Content::NEW)
    }

    /// A body begins.
    pub fn begin(&mut self) {
        self.0.begin();
    }

    /// Takes bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.0.take(bytes);
    }

    /// The number of bytes from here on that do not matter: what is inside of boxes, and everything that
    /// follows the beginning of anything else.
    #[must_use]
    pub fn irrelevant(&self) -> u64 {
        let boxes = &self.0.boxes;
        if self.0.seen <= reader::LAST_PLACE {
            0
        } else if self.0.kind() != content::ISO_BOX || boxes.lost {
            u64::MAX
        } else if boxes.header_len > 0 {
            0
        } else {
            boxes.left
        }
    }

    /// Counts bytes without looking at them, at most [`Self::irrelevant`].
    pub fn skip(&mut self, bytes: u64) {
        self.0.all = self.0.all.wrapping_add(bytes);
        self.0.boxes.left = self.0.boxes.left.saturating_sub(bytes);
    }

    /// One of [`content`]: the apparent content.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.0.kind()
    }

    /// Whether the body, which is whole, ends in the middle of a packet or of a box.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        self.0.is_cut_short()
    }

    /// The first bytes, and their number.
    #[must_use]
    pub fn first(&self) -> (&[u8; SNIFF_BYTES], u8) {
        self.0.first()
    }
}

impl Default for Inspector {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector").field("kind", &self.kind()).field("bytes", &self.0.all).finish()
    }
}
