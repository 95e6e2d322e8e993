//! Little-endian fields one after the other, as all of btrfs's structures are: [`Out`] makes them, [`In`] takes them apart.

/// Bytes under construction.
#[derive(Default)]
pub struct Out(Vec<u8>);

impl Out {
    pub fn new() -> Out {
        Out::default()
    }

    pub fn u8(self, value: u8) -> Out {
        self.bytes(&[value])
    }

    pub fn u16(self, value: u16) -> Out {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u32(self, value: u32) -> Out {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u64(self, value: u64) -> Out {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u64s(self, values: &[u64]) -> Out {
        values.iter().fold(self, |out, value| out.u64(*value))
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Out {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn zeros(mut self, count: usize) -> Out {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes yet to be read. Every method gives `None` when too few are left.
#[derive(Clone, Copy)]
pub struct In<'a>(pub &'a [u8]);

impl<'a> In<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.bytes(count).map(|_| ())
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
