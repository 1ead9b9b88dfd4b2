//! Descriptions of the structures of the wire: their types, and the macros that make a structure and its description
//! from the same source text.
//!
//! The text of a description is the doc comment, so the code, a trace, `docs/trace-format.md` and `tracer dump` all say
//! the same. Only user space refers to the descriptions; the eBPF object contains none of them.

use crate::record::RecordKind;

/// A kind of record.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Its number and name.
    pub kind: RecordKind,
    /// The kernel function or the file that it comes from; empty if the tool itself makes it.
    pub from: &'static str,
    /// What it says.
    pub about: &'static str,
    /// Its fields, the header first.
    pub layout: &'static Layout,
    /// What follows the fields, up to the end given by the header's `len`.
    pub rest: Rest,
}

/// A structure.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Its name, which no other structure has.
    pub name: &'static str,
    /// In the order of their offsets. They leave no gap.
    pub fields: &'static [Field],
    /// In bytes.
    pub size: usize,
}

/// A field of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// In bytes, from the start of the structure.
    pub offset: usize,
    /// Its type.
    pub form: Form,
    /// How its value is to be read.
    pub meaning: Meaning,
    /// What it says.
    pub about: &'static str,
}

/// The type of a field.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Form {
    U8,
    U16,
    U32,
    U64,
    I32,
    /// That many of them.
    U32s(usize),
    /// That many bytes of text, up to the first zero.
    Text(usize),
    Struct(&'static Layout),
}

/// How the value of a field is to be read.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// As the field's text says.
    Plain,
    /// A number of these units.
    Unit(&'static str),
    /// A sum of these.
    Bits(&'static [Word]),
    /// One of these.
    OneOf(&'static [Word]),
    /// A name that somebody chose: redaction replaces it.
    Name,
    /// 1: the arguments that follow are not all that there were.
    Cut,
    /// How many bytes of arguments follow.
    ArgumentsLength,
    /// Always 0.
    Reserved,
}

/// The unit of a time: nanoseconds of `CLOCK_BOOTTIME`.
pub const BOOT_TIME: Meaning = Meaning::Unit("ns of the boot-time clock");

/// A value, or a bit, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The value; of bits that belong together, their mask.
    pub value: u32,
    /// What it means.
    pub about: &'static str,
}

/// What follows the fields of a record.
#[derive(Clone, Copy, Debug)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// The arguments of a program, each ended by a zero byte.
    Arguments,
    /// As many bytes of arguments as a field says, then a structure, which older versions did not
    /// write.
    ArgumentsAnd(&'static Layout),
    /// A name of something that somebody chose.
    Name(&'static str),
    /// A JSON object, which can hold such names.
    Json,
    /// Records or numbers.
    Data(&'static str),
}

impl Rest {
    /// What it is, in words.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Arguments => "the arguments, each ended by a zero byte",
            Self::ArgumentsAnd(_) => {
                "as many bytes of arguments as args_len says, each argument ended by a zero byte; then, but for records \
                 of older versions, two u32: trust, as of a command_line, and the inode number of the mount namespace \
                 (0: unknown); then, but for those, a u64: the signals that the program ignores from its start, a bit \
                 each from signal 1"
            }
            Self::Name(about) | Self::Data(about) => about,
            Self::Json => "a JSON object",
        }
    }
}

/// A type that a field can have.
pub trait Described {
    /// It as the type of a field.
    const FORM: Form;
}

/// A structure that is the fixed part of a record.
pub trait Recorded {
    /// The kind of the record.
    const KIND: RecordKind;
    /// Its description.
    const RECORD: Record;
}

macro_rules! describe {
    ($($type:ty: $form:expr;)*) => {$(
        impl Described for $type {
            const FORM: Form = $form;
        }
    )*};
}

describe! {
    u8: Form::U8;
    u16: Form::U16;
    u32: Form::U32;
    u64: Form::U64;
    i32: Form::I32;
}

impl<const N: usize> Described for [u32; N] {
    const FORM: Form = Form::U32s(N);
}

impl<const N: usize> Described for [u8; N] {
    const FORM: Form = Form::Text(N);
}

/// Makes a structure of the wire and its description. A field is written as in any structure; `as` and its [`Meaning`]
/// may follow its type.
///
/// Asserts the size, and that the fields fill it.
macro_rules! layout {
    (
        $(#[doc = $about:literal])*
        $name:ident of $size:literal bytes {
            $($(#[doc = $says:literal])* $field:ident: $type:ty $(as $meaning:expr)?,)*
        }
    ) => {
        $(#[doc = $about])*
        #[repr(C)]
        #[cfg_attr(
            feature = "user",
            derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
        )]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $says])* pub $field: $type,)*
        }

        impl $name {
            /// Its fields.
            pub const LAYOUT: $crate::describe::Layout = $crate::describe::Layout {
                name: stringify!($name),
                fields: &[$($crate::describe::Field {
                    name: stringify!($field),
                    offset: core::mem::offset_of!($name, $field),
                    form: <$type as $crate::describe::Described>::FORM,
                    // The first field called this: the structure's own, if it has one.
                    meaning: [$($meaning,)? $crate::describe::Meaning::Plain][0],
                    about: concat!($($says),*),
                },)*],
                size: $size,
            };
        }

        impl $crate::describe::Described for $name {
            const FORM: $crate::describe::Form = $crate::describe::Form::Struct(&$name::LAYOUT);
        }

        const _: () = assert!(size_of::<$name>() == $size, "the size is another one");
        const _: () = assert!($size == 0 $(+ size_of::<$type>())*, "there is a gap between the fields");
    };
}

/// Makes [`RecordKind`], and for each record its structure, to which the header is added, and its
/// description. A record is written so:
///
/// ```text
/// /// What it says.
/// NUMBER Kind "name" from "where": Structure of SIZE bytes {
///     /// What the field says.
///     field: type as Meaning,
/// } then Rest
/// ```
///
/// `from`, `as` and `then` can be left out.
macro_rules! records {
    ($(
        $(#[doc = $about:literal])*
        $number:literal $kind:ident $name:literal $(from $from:literal)?: $record:ident of $size:literal bytes {
            $($fields:tt)*
        } $(then $rest:expr)?;
    )*) => {
        /// The kinds of records.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum RecordKind {
            $($(#[doc = $about])* $kind = $number,)*
        }

        impl RecordKind {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The kind of that number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// Its name in a trace's table.
            #[cfg(feature = "user")]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The description of its records.
            #[cfg(feature = "user")]
            pub const fn record(self) -> &'static $crate::describe::Record {
                match self {
                    $(Self::$kind => const { &<$record as $crate::describe::Recorded>::RECORD },)*
                }
            }
        }

        $(
            layout! {
                $(#[doc = $about])*
                $record of $size bytes {
                    /// What every record begins with.
                    header: Header,
                    $($fields)*
                }
            }

            impl $crate::describe::Recorded for $record {
                const KIND: RecordKind = RecordKind::$kind;
                const RECORD: $crate::describe::Record = $crate::describe::Record {
                    kind: RecordKind::$kind,
                    from: concat!($($from)?),
                    about: concat!($($about),*),
                    layout: &$record::LAYOUT,
                    // The first field called this: the record's own, if it has one.
                    rest: [$($rest,)? $crate::describe::Rest::Nothing][0],
                };
            }
        )*
    };
}

/// Makes constants, which are bits or values of a field, and a list of what they mean.
macro_rules! words {
    ($type:ty: $($(#[doc = $about:literal])* $name:ident = $value:expr;)*) => {
        $($(#[doc = $about])* pub const $name: $type = $value;)*

        /// What they mean.
        pub const WORDS: &[$crate::describe::Word] =
            &[$($crate::describe::Word { value: $name as u32, about: concat!($($about),*) }),*];
    };
}
