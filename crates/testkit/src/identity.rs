//! Gives a copied data folder a system identifier of its own.
//!
//! All clusters come from one template; two with the same identifier would
//! pass for one another, and who checks identities could not be tested.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{At, Error};

/// Where `xlp_sysid` stands in the long header of a WAL file's first page
/// (`access/xlog_internal.h`); that header has no checksum.
const WAL_IDENTIFIER: u64 = 24;

/// A new identifier; positive, since SQL shows it as `bigint`.
pub(crate) fn fresh() -> u64 {
    RandomState::new().build_hasher().finish() >> 1
}

/// Rewrites the identifier of a cleanly stopped data folder.
///
/// `pg_resetwal` has no option for it; `pg_createsubscriber` does the same.
pub(crate) fn stamp(data: &Path, identifier: u64) -> Result<(), Error> {
    let path = data.join("global/pg_control");
    let control = fs::read(&path).at(&path)?;
    let Some(control) = restamped(control, identifier) else {
        return Err(Error::ControlFile { path });
    };
    let file = File::options().write(true).open(&path).at(&path)?;
    file.write_all_at(&control, 0).at(&path)?;

    let wal = data.join("pg_wal");
    for entry in fs::read_dir(&wal).at(&wal)? {
        let path = entry.at(&wal)?.path();
        if path.is_file() {
            let file = File::options().write(true).open(&path).at(&path)?;
            file.write_all_at(&identifier.to_ne_bytes(), WAL_IDENTIFIER).at(&path)?;
        }
    }
    Ok(())
}

/// `ControlFileData` begins with the identifier and ends with a CRC of all
/// before it. Its length differs between versions, so the CRC is searched for.
fn restamped(mut control: Vec<u8>, identifier: u64) -> Option<Vec<u8>> {
    let at = (64..1024).step_by(4).find(|&at| {
        let (body, rest) = control.split_at_checked(at).unwrap_or((&[], &[]));
        rest.first_chunk() == Some(&crc32c(body).to_ne_bytes())
    })?;
    control.get_mut(..8)?.copy_from_slice(&identifier.to_ne_bytes());
    let crc = crc32c(control.get(..at)?);
    control.get_mut(at..)?.first_chunk_mut::<4>()?.copy_from_slice(&crc.to_ne_bytes());
    Some(control)
}

/// CRC-32C (Castagnoli), as `port/pg_crc32c.h`; a few hundred bytes need no table.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283); // the check value of the CRC catalogue
    }

    #[test]
    fn a_new_identifier_comes_with_a_new_checksum() {
        let mut control = vec![7_u8; 296];
        let crc = crc32c(&control[..292]);
        control[292..].copy_from_slice(&crc.to_ne_bytes());
        control.resize(8192, 0);

        let stamped = restamped(control.clone(), 42).unwrap();
        assert_eq!(stamped[..8], 42_u64.to_ne_bytes());
        assert_eq!(stamped[8..292], control[8..292]);
        assert_eq!(stamped[292..296], crc32c(&stamped[..292]).to_ne_bytes());
    }

    #[test]
    fn a_file_without_a_checksum_is_refused() {
        assert_eq!(restamped(vec![7; 8192], 42), None);
        assert_eq!(restamped(vec![7; 3], 42), None);
    }
}
