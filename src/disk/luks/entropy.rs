//! Sources of random bytes, which are passed in as an argument.

/// Fills the buffer with unpredictable bytes, like the kernel's getrandom(2).
pub type Entropy<'a> = dyn FnMut(&mut [u8]) + 'a;

/// Separates this stream from any other use of the same seed. Source: BLAKE3's `derive_key` mode.
const CONTEXT: &str = "ister 2026-11-25 LUKS2 volume key, salts and stripes";

/// A stream that depends on the seed alone: BLAKE3's extended output.
///
/// The seed is as sensitive as the volume key: anyone who has it can decrypt the volume without the passphrase. A seed
/// of 32 bytes from getrandom(2) is as good as getrandom itself; a number in a public build log provides no protection.
/// Use a seed for one volume only, for example by mixing in the partition's UUID. Two images with the same seed and
/// different files reveal which of their sectors are equal.
pub fn seeded(seed: &[u8]) -> impl FnMut(&mut [u8]) + use<> {
    let mut stream = blake3::Hasher::new_derive_key(CONTEXT).update(seed).finalize_xof();
    move |buffer| stream.fill(buffer)
}
