//! A root file system in the format that the kernel unpacks at boot (cpio, "newc").

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::process::read;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// An archive that grows by file.
#[derive(Debug, Default)]
pub struct Image {
    bytes: Vec<u8>,
    names: BTreeSet<PathBuf>,
}

impl Image {
    /// Adds a file, with the folders that it is in.
    pub fn add(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let path = Path::new(path.trim_start_matches('/'));
        let mut folders: Vec<_> = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
        folders.reverse();
        for folder in folders {
            if self.names.insert(folder.to_owned()) {
                self.entry(folder, DIRECTORY | 0o755, &[])?;
            }
        }
        if self.names.insert(path.to_owned()) {
            self.entry(path, FILE | mode, content)?;
        }
        Ok(())
    }

    /// Adds a program that needs nothing else.
    pub fn add_file(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.add(path, 0o755, &content)
    }

    /// Adds a program, with the libraries that it is linked to at their own places.
    pub fn add_program(&mut self, path: &str, from: &Path) -> Result<()> {
        self.add_file(path, from)?;
        // It fails on a program that is linked statically.
        let libraries = read(Command::new("ldd").arg(from)).unwrap_or_default();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            self.add_file(library, Path::new(library))?;
        }
        Ok(())
    }

    /// Adds what is in a folder, at its place in there.
    pub fn add_tree(&mut self, folder: &Path) -> Result<()> {
        for path in read(Command::new("find").arg(folder).args(["-type", "f"]))?.lines() {
            let place = Path::new(path).strip_prefix(folder).context("it is in the folder")?;
            self.add_file(&place.to_string_lossy(), Path::new(path))?;
        }
        Ok(())
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.header("TRAILER!!!", 0, 0);
        self.bytes
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len()).with_context(|| format!("{} is too large", path.display()))?;
        self.header(&path.to_string_lossy(), mode, size);
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    fn header(&mut self, name: &str, mode: u32, size: u32) {
        let name_size = name.len() as u32 + 1;
        let number = self.names.len() as u32;
        let links = 1;
        // inode, mode, uid, gid, links, time, size, device, device of a node, name, checksum
        let fields = [number, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_begins_at_a_multiple_of_four() {
        let mut image = Image::default();
        image.add("/a/b", 0o755, b"12345").unwrap();
        image.add("/a/c", 0o644, b"").unwrap();
        let bytes = image.finish();
        assert_eq!(bytes.len() % 4, 0);
        let starts: Vec<_> = bytes.windows(6).enumerate().filter(|(_, w)| w == b"070701").map(|(at, _)| at).collect();
        assert_eq!(starts.len(), 4, "a, a/b, a/c and the trailer");
        assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        // mode of a, and of a/b
        assert_eq!(&bytes[14..22], b"000041ed");
        assert_eq!(&bytes[starts[1] + 14..starts[1] + 22], b"000081ed");
    }
}
