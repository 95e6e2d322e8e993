//! Random bytes, which come in as an argument.

/// Fills the buffer with bytes that nobody can guess, as the kernel's getrandom(2) does.
pub type Entropy<'a> = dyn FnMut(&mut [u8]) + 'a;

/// Keeps this stream apart from any other use of the same seed. Source: BLAKE3's `derive_key` mode.
const CONTEXT: &str = "ister 2026-11-25 LUKS2 volume key, salts and stripes";

/// A stream that depends on the seed alone: BLAKE3's extended output.
///
/// Whoever knows the seed has the volume key, without the passphrase: 32 bytes of getrandom(2) make a seed that is as
/// good as getrandom itself, a number in a public build log makes encryption that keeps nobody out. One seed is for
/// one volume; give several partitions seeds that differ, such as by the partition's UUID. And two images of one seed
/// with different files show which sectors are equal.
pub fn seeded(seed: &[u8]) -> impl FnMut(&mut [u8]) + use<> {
    let mut stream = blake3::Hasher::new_derive_key(CONTEXT).update(seed).finalize_xof();
    move |buffer| stream.fill(buffer)
}
