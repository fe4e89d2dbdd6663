//! Writing bits, as H.264 (section 7.2) and AAC ask for them.

/// Bits, most significant first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    /// Bits in use of the last byte; 0 when it is full.
    used: u32,
}

impl Bits {
    /// The lowest `count` bits of `value`.
    pub(crate) fn bits(&mut self, value: u32, count: u32) -> &mut Self {
        for place in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from((value >> place) & 1 == 1) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
        self
    }

    /// Exp-Golomb code of an unsigned number (section 9.1).
    pub(crate) fn ue(&mut self, value: u32) -> &mut Self {
        let code = value + 1;
        let length = u32::BITS - code.leading_zeros();
        self.bits(0, length - 1).bits(code, length)
    }

    /// Zeros up to the next whole byte.
    pub(crate) fn align(&mut self) -> &mut Self {
        self.used = 0;
        self
    }

    /// Whole bytes; to be aligned before.
    pub(crate) fn whole(&mut self, bytes: impl IntoIterator<Item = u8>) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// A one, and zeros up to the next whole byte: the end of each H.264 unit.
    pub(crate) fn trailing(&mut self) -> &mut Self {
        self.bits(1, 1).align()
    }

    /// The bytes.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.used = 0;
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_standards_table() {
        // Table 9-2: 0 is 1, 1 is 010, 2 is 011, 3 is 00100.
        let mut bits = Bits::default();
        bits.ue(0).ue(1).ue(2).ue(3).trailing();
        assert_eq!(bits.take(), [0b1010_0110, 0b0100_1000]);
        bits.bits(0b101, 3).align().whole([7]);
        assert_eq!(bits.take(), [0b1010_0000, 7]);
    }
}
