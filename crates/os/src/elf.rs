//! Why a program cannot carry the probe: the little that has to be known of its ELF file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The program header that names the dynamic linker.
const PT_INTERP: u32 = 3;

/// Whether the program needs no dynamic linker, so that nothing can be loaded into it. `None` if
/// it is no 64-bit little-endian ELF file (a script, say) or cannot be read.
#[must_use]
pub fn is_static(program: &Path) -> Option<bool> {
    let mut file = File::open(find(program)?).ok()?;
    let mut head = [0_u8; 64];
    file.read_exact(&mut head).ok()?;
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let offset = u64::from_le_bytes(head.get(32..40)?.try_into().ok()?);
    let size = usize::from(u16::from_le_bytes(head.get(54..56)?.try_into().ok()?));
    let count = usize::from(u16::from_le_bytes(head.get(56..58)?.try_into().ok()?));
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut table = vec![0_u8; size.checked_mul(count)?];
    file.read_exact(&mut table).ok()?;
    let interpreter = table
        .chunks(size.max(1))
        .filter_map(|entry| Some(u32::from_le_bytes(entry.get(..4)?.try_into().ok()?)))
        .any(|kind| kind == PT_INTERP);
    Some(!interpreter)
}

/// The file that a name stands for, by PATH as the shell looks it up.
#[must_use]
pub fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
