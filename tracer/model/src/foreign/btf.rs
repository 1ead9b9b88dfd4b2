//! The kernel's type information (BTF): just enough of the format to locate a field of a structure.
//!
//! <https://docs.kernel.org/bpf/btf.html>, `include/uapi/linux/btf.h`. Parsing terminates on any bytes: a type that is
//! missing, or that contains itself, is a field that was not found.

use std::collections::HashSet;

use rustc_hash::FxHashMap;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The first bytes, in this machine's byte order: a kernel uses its own.
const MAGIC: u16 = 0xeb9f;
/// How many names and qualifiers of a type (`const`, typedefs) are followed before it counts as a cycle.
const HOPS: usize = 64;

/// Kinds of types (`BTF_KIND_*`).
mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

/// Why bytes are no type information.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Another format, or another byte order.
    #[error("it does not begin as type information does")]
    NoBtf,
    /// It ends too early.
    #[error("it is cut off")]
    Cut,
    /// A kind of type that is newer than this program.
    #[error("it has types of the unknown kind {0}")]
    UnknownKind(u32),
}

/// `struct btf_header`.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: u16,
    version: u8,
    flags: u8,
    /// Bytes of the header; what is described is relative to its end.
    header_len: u32,
    types_at: u32,
    types_len: u32,
    strings_at: u32,
    strings_len: u32,
}

/// `struct btf_type`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Type {
    name: u32,
    /// Members in the low 16 bits, the kind in bits 24 to 28, and a flag in bit 31.
    info: u32,
    /// Bytes of one, or the type that it is about.
    size_or_type: u32,
}

/// `struct btf_member`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Member {
    name: u32,
    of: u32,
    /// Bits; with the type's flag only the low 24, and above them the width of a bitfield.
    offset: u32,
}

/// `struct btf_array`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Array {
    element: u32,
    index: u32,
    count: u32,
}

/// `struct btf_enum`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Enumerator {
    name: u32,
    value: i32,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn count(self) -> usize {
        self.info as usize & 0xffff
    }

    fn has_bitfields(self) -> bool {
        self.info >> 31 != 0
    }

    /// Bytes that follow it.
    fn rest(self) -> Result<usize, BtfError> {
        let count = self.count();
        Ok(match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => size_of::<Array>(),
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => count * 12,
            kind::ENUM | kind::FUNC_PROTO => count * 8,
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            other => return Err(BtfError::UnknownKind(other)),
        })
    }
}

/// Where a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the beginning of the outermost structure.
    pub bits: u32,
    /// Bytes of one element if the field is an array of structures, else 0.
    pub element_size: u32,
}

/// Types, by their number and by name.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type is; the first one has the number 1.
    starts: Vec<u32>,
    /// Structures, unions and enumerations of a name.
    by_name: FxHashMap<&'a [u8], Vec<u32>>,
}

impl<'a> Btf<'a> {
    /// Finds the types in the bytes of `/sys/kernel/btf/vmlinux` or the like.
    ///
    /// # Errors
    /// If that is not what they are.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| BtfError::NoBtf)?;
        if header.magic != MAGIC || header.version != 1 {
            return Err(BtfError::NoBtf);
        }
        let section = |at: u32, len: u32| {
            let start = (header.header_len as usize).checked_add(at as usize)?;
            bytes.get(start..start.checked_add(len as usize)?)
        };
        let types = section(header.types_at, header.types_len).ok_or(BtfError::Cut)?;
        let strings = section(header.strings_at, header.strings_len).ok_or(BtfError::Cut)?;
        let mut btf = Self { types, strings, starts: Vec::new(), by_name: FxHashMap::default() };
        let mut at = 0;
        while at < types.len() {
            let found: Type = read(types, at).ok_or(BtfError::Cut)?;
            btf.starts.push(at as u32);
            if matches!(found.kind(), kind::STRUCT | kind::UNION | kind::ENUM) && found.name != 0 {
                let number = btf.starts.len() as u32;
                btf.by_name.entry(btf.name(found.name)).or_default().push(number);
            }
            at += size_of::<Type>() + found.rest()?;
        }
        // The last one may end beyond what is there.
        if at == types.len() { Ok(btf) } else { Err(BtfError::Cut) }
    }

    /// Follows a path such as `pid_namespace.ns.inum` through the types.
    pub fn find(&self, path: &str) -> Option<Place> {
        let mut names = path.split('.');
        let structure = names.next()?;
        let names: Vec<_> = names.collect();
        // Several types can share a name; the structure with this field is meant.
        self.named(structure).iter().find_map(|&number| {
            let mut place = Place { bits: 0, element_size: 0 };
            let mut of = number;
            for name in &names {
                let (bits, member) = self.field(of, name.as_bytes())?;
                place.bits = place.bits.checked_add(bits)?;
                of = member;
            }
            Some(Place { element_size: self.element_size(of), ..place })
        })
    }

    /// Whether an enumeration of that name has that value.
    pub fn has_enumerator(&self, of: &str, name: &str) -> bool {
        self.named(of).iter().filter_map(|&number| self.get(number)).any(|(found, at)| {
            let enumerators = if found.kind() == kind::ENUM { found.count() } else { 0 };
            let names = (0..enumerators).filter_map(|i| read::<Enumerator>(self.types, at + i * 8));
            names.map(|enumerator| self.name(enumerator.name)).any(|have| have == name.as_bytes())
        })
    }

    fn named(&self, name: &str) -> &[u32] {
        self.by_name.get(name.as_bytes()).map_or(&[], Vec::as_slice)
    }

    /// The bits before a field, and its type. The fields of an anonymous structure or union belong to the outer one.
    fn field(&self, of: u32, name: &[u8]) -> Option<(u32, u32)> {
        if name.is_empty() {
            return None;
        }
        let mut seen = HashSet::new();
        // Depth first, in the order of the members.
        let mut left = vec![(0, of)];
        while let Some((bits, of)) = left.pop() {
            let (structure, at) = self.get(of)?;
            // A structure that was already searched does not have it.
            if !matches!(structure.kind(), kind::STRUCT | kind::UNION) || !seen.insert(of) {
                continue;
            }
            let mut anonymous = Vec::new();
            for i in 0..structure.count() {
                let member: Member = read(self.types, at + i * size_of::<Member>())?;
                let offset = if structure.has_bitfields() { member.offset & 0xff_ffff } else { member.offset };
                let bits = u32::checked_add(bits, offset)?;
                match self.name(member.name) {
                    have if have == name => return Some((bits, self.plain(member.of)?)),
                    b"" => anonymous.push((bits, self.plain(member.of)?)),
                    _ => {}
                }
            }
            left.extend(anonymous.into_iter().rev());
        }
        None
    }

    /// The type without `const`, `volatile`, typedefs and the like.
    fn plain(&self, mut number: u32) -> Option<u32> {
        for _ in 0..HOPS {
            // `void`.
            if number == 0 {
                return Some(0);
            }
            let (found, _) = self.get(number)?;
            match found.kind() {
                kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPEDEF | kind::TYPE_TAG => {
                    number = found.size_or_type;
                }
                _ => return Some(number),
            }
        }
        None
    }

    fn element_size(&self, of: u32) -> u32 {
        let element = || {
            let (found, at) = self.get(of).filter(|(found, _)| found.kind() == kind::ARRAY)?;
            let array: Array = read(self.types, at)?;
            let (element, _) = self.get(self.plain(array.element)?)?;
            (found.kind() == kind::ARRAY && element.kind() == kind::STRUCT).then_some(element.size_or_type)
        };
        element().unwrap_or(0)
    }

    /// A type, and where what follows it begins.
    fn get(&self, number: u32) -> Option<(Type, usize)> {
        let at = *self.starts.get((number as usize).checked_sub(1)?)? as usize;
        Some((read(self.types, at)?, at + size_of::<Type>()))
    }

    /// A name; nothing for what has none.
    fn name(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

fn read<T: FromBytes>(bytes: &[u8], at: usize) -> Option<T> {
    T::read_from_prefix(bytes.get(at..)?).ok().map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hand-made type information.
    #[derive(Default)]
    struct Made {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: u32,
    }

    impl Made {
        fn new() -> Self {
            Self { strings: vec![0], ..Self::default() }
        }

        fn name(&mut self, name: &str) -> u32 {
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend(name.bytes().chain([0]));
            at
        }

        /// A type with the words that follow it; its number.
        fn add(&mut self, name: &str, kind: u32, flag: bool, count: u32, size_or_type: u32, rest: &[u32]) -> u32 {
            let name = self.name(name);
            let info = count | kind << 24 | u32::from(flag) << 31;
            let words = [name, info, size_or_type].into_iter().chain(rest.iter().copied());
            self.types.extend(words.flat_map(u32::to_ne_bytes));
            self.count += 1;
            self.count
        }

        /// Members: name, type, offset.
        fn compound(&mut self, name: &str, kind: u32, flag: bool, size: u32, members: &[(&str, u32, u32)]) -> u32 {
            let words: Vec<_> = members.iter().flat_map(|&(name, of, offset)| [self.name(name), of, offset]).collect();
            self.add(name, kind, flag, members.len() as u32, size, &words)
        }

        fn bytes(&self) -> Vec<u8> {
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend([1, 0]);
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            bytes.extend([24, 0, types, types, strings].into_iter().flat_map(u32::to_ne_bytes));
            bytes.extend(self.types.iter().chain(&self.strings));
            bytes
        }
    }

    fn example() -> Made {
        let mut made = Made::new();
        let int = made.add("int", kind::INT, false, 0, 4, &[32]);
        let action = made.compound("k_sigaction", kind::STRUCT, false, 32, &[("sa", int, 0)]);
        let constant = made.add("", kind::CONST, false, 0, action, &[]);
        let typedef = made.add("action_t", kind::TYPEDEF, false, 0, constant, &[]);
        let array = made.add("", kind::ARRAY, false, 0, 0, &[typedef, int, 64]);
        let inner = made.compound("", kind::UNION, false, 8, &[("deep", int, 0), ("deeper", int, 32)]);
        let anonymous = made.compound("", kind::STRUCT, false, 16, &[("first", int, 0), ("", inner, 64)]);
        // A forward declaration, and a structure without that field, share the name.
        made.compound("task", kind::STRUCT, false, 4, &[("other", int, 0)]);
        let bits = (1 << 24) | 321;
        let members =
            [("count", int, 0), ("", anonymous, 64), ("action", array, 256), ("flag", int, bits), ("ns", 10, 352)];
        made.compound("task", kind::STRUCT, true, 100, &members);
        made.compound("ns", kind::STRUCT, false, 8, &[("inum", int, 32)]);
        made.add("helpers", kind::ENUM, false, 2, 4, &[]);
        for name in ["one", "two"] {
            let words = [made.name(name), 0];
            made.types.extend(words.into_iter().flat_map(u32::to_ne_bytes));
        }
        made
    }

    #[test]
    fn fields_are_found_in_whatever_they_are_nested() {
        let bytes = example().bytes();
        let btf = Btf::new(&bytes).unwrap();
        for (path, want) in [
            ("task.count", Some((0, 0))),
            ("task.first", Some((64, 0))),
            ("task.deep", Some((128, 0))),
            ("task.deeper", Some((160, 0))),
            ("task.action", Some((256, 32))),
            ("task.flag", Some((321, 0))),
            ("task.ns.inum", Some((384, 0))),
            ("task.other", Some((0, 0))),
            ("task.none", None),
            ("task.count.none", None),
            ("none.count", None),
            ("task.", None),
            ("", None),
        ] {
            let want = want.map(|(bits, element_size)| Place { bits, element_size });
            assert_eq!(btf.find(path), want, "{path}");
        }
        assert!(btf.has_enumerator("helpers", "two") && !btf.has_enumerator("helpers", "three"));
        assert!(!btf.has_enumerator("task", "count"));
    }

    #[test]
    fn circles_end() {
        let mut made = Made::new();
        made.compound("a", kind::STRUCT, false, 8, &[("", 1, 0), ("", 2, 0), ("", 1, 8), ("", 3, 0)]);
        made.compound("", kind::UNION, false, 8, &[("", 1, 0), ("", 2, 0)]);
        made.add("", kind::TYPEDEF, false, 0, 4, &[]);
        made.add("", kind::CONST, false, 0, 3, &[]);
        let bytes = made.bytes();
        assert_eq!(Btf::new(&bytes).unwrap().find("a.b"), None);
    }

    #[test]
    fn what_is_no_type_information_is_told() {
        let bytes = example().bytes();
        assert_eq!(Btf::new(&[]).err(), Some(BtfError::NoBtf));
        assert_eq!(Btf::new(b"\x7fELF and so on, long enough").err(), Some(BtfError::NoBtf));
        assert_eq!(Btf::new(&bytes[..bytes.len() - 1]).err(), Some(BtfError::Cut));
        let mut made = Made::new();
        made.add("", 31, false, 0, 0, &[]);
        assert_eq!(Btf::new(&made.bytes()).err(), Some(BtfError::UnknownKind(31)));
        let mut made = Made::new();
        made.add("", kind::STRUCT, false, 2, 0, &[0, 0, 0]);
        assert_eq!(Btf::new(&made.bytes()).err(), Some(BtfError::Cut));
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0_usize..2_000, with in any::<u32>(), cut in 0_usize..2_000) {
            let mut bytes = example().bytes();
            let at = at % (bytes.len() - 4);
            bytes[at..at + 4].copy_from_slice(&with.to_ne_bytes());
            bytes.truncate(bytes.len() - cut % 8);
            if let Ok(btf) = Btf::new(&bytes) {
                for path in ["task.deeper", "task.action", "task.ns.inum", "ns.inum", "k_sigaction.sa"] {
                    btf.find(path);
                }
                btf.has_enumerator("helpers", "two");
            }
        }
    }
}
