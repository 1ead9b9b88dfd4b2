//! Where the fields of each kind of record are: the table that every trace carries, so that a reader in another
//! language, or of a later version, needs nothing else; and reading by that table.
//!
//! All of it is derived from the descriptions in [`tracer_common::record`].

use std::mem::offset_of;

use serde_json::{Value, json};
use tracer_common::{
    Header, RecordKind,
    describe::{Field, Form, Layout, Meaning, Record, Rest, Word},
};

use crate::{ident::escape, wire::FORMAT};

/// The table, as JSON.
pub fn table() -> Value {
    let mut told = Vec::new();
    let records: Vec<_> = RecordKind::ALL.iter().map(|kind| json(kind.record(), &mut told)).collect();
    let byte_order = if cfg!(target_endian = "little") { "little" } else { "big" };
    json!({ "format": FORMAT, "byte_order": byte_order, "records": records })
}

fn json(record: &Record, told: &mut Vec<&'static str>) -> Value {
    let Record { kind, from, about, layout, rest } = record;
    let mut fields = Vec::new();
    flatten(layout, "", 0, told, &mut fields);
    json!({
        "kind": *kind as u8, "name": kind.name(), "about": about.trim(), "from": from, "size": layout.size,
        "fields": fields, "rest": rest.about(),
    })
}

/// Nested fields get dotted names: `task.id.start`. The meaning of a nested structure's field is written only once,
/// because each trace carries the table twice, once uncompressed.
fn flatten(layout: &Layout, path: &str, base: usize, told: &mut Vec<&'static str>, to: &mut Vec<Value>) {
    let is_new = !told.contains(&layout.name);
    for field in layout.fields {
        let (name, offset) = (format!("{path}{}", field.name), base + field.offset);
        match plain(field.form) {
            Err(inner) => flatten(inner, &format!("{name}."), offset, told, to),
            Ok(form) => {
                let mut json = json!({ "name": name, "offset": offset, "type": form });
                if is_new {
                    json["about"] = about(field).into();
                }
                to.push(json);
            }
        }
    }
    if is_new {
        told.push(layout.name);
    }
}

/// The name of a type, or what it is made of.
fn plain(form: Form) -> Result<String, &'static Layout> {
    Ok(match form {
        Form::U8 => "u8".to_owned(),
        Form::U16 => "u16".to_owned(),
        Form::U32 => "u32".to_owned(),
        Form::U64 => "u64".to_owned(),
        Form::I32 => "i32".to_owned(),
        Form::U32s(count) => format!("u32[{count}]"),
        Form::Text(count) => format!("char[{count}]"),
        Form::Struct(layout) => return Err(layout),
    })
}

/// The text of a field, with its unit, and the meaning of its bits and values.
fn about(field: &Field) -> String {
    let text = field.about.trim();
    match field.meaning {
        Meaning::Plain | Meaning::Name | Meaning::ArgumentsLength => text.to_owned(),
        Meaning::Unit(unit) => format!("{text} Unit: {unit}."),
        Meaning::Bits(bits) => format!("{text} Bits: {}.", words(bits)),
        Meaning::OneOf(values) => format!("{text} Values: {}.", words(values)),
        Meaning::Cut => format!("{text} 1: there was more."),
        Meaning::Reserved => format!("{text} Always 0."),
    }
}

fn words(words: &[Word]) -> String {
    let words = words.iter().map(|word| format!("{}: {}", word.value, word.about.trim().trim_end_matches('.')));
    words.collect::<Vec<_>>().join("; ")
}

/// A record, read with the table alone.
pub struct Plain {
    /// Name of its kind, or its number.
    pub name: String,
    /// The fields and their values. Text is escaped.
    pub fields: Vec<(String, Value)>,
    /// What follows the fields, escaped; for an unknown kind, the whole record in hexadecimal.
    pub rest: String,
}

/// Reads a record, whatever it holds.
pub fn read(record: &[u8]) -> Plain {
    let number = record.get(offset_of!(Header, kind)).copied().unwrap_or_default();
    let known = RecordKind::from_number(number).map(RecordKind::record);
    // An older version wrote fewer fields, where nothing follows them.
    let is_whole = |known: &&Record| known.layout.size <= record.len() || matches!(known.rest, Rest::Nothing);
    let Some(Record { kind, layout, rest, .. }) = known.filter(is_whole) else {
        let digits = record.iter().map(|byte| format!("{byte:02x}")).collect();
        return Plain { name: format!("kind {number}"), fields: Vec::new(), rest: digits };
    };
    let mut fields = Vec::new();
    let (fixed, mut bytes) = record.split_at(layout.size.min(record.len()));
    values(layout, "", fixed, &mut fields);
    if let Rest::ArgumentsAnd(behind) = rest {
        let (arguments, after) = bytes.split_at(arguments_length(layout, fixed).min(bytes.len()));
        values(behind, "", after, &mut fields);
        bytes = arguments;
    }
    Plain { name: kind.name().to_owned(), fields, rest: escape(bytes) }
}

/// How many bytes of arguments follow, according to the record.
pub fn arguments_length(layout: &Layout, fixed: &[u8]) -> usize {
    let field = layout.fields.iter().find(|field| matches!(field.meaning, Meaning::ArgumentsLength));
    let length = field.and_then(|field| fixed.get(field.offset..)?.first_chunk());
    length.map_or(0, |&bytes| u16::from_ne_bytes(bytes).into())
}

/// The value of each field that lies within the bytes.
fn values(layout: &Layout, path: &str, bytes: &[u8], to: &mut Vec<(String, Value)>) {
    for &Field { name, offset, form, .. } in layout.fields {
        let Some(bytes) = bytes.get(offset..) else { continue };
        let name = format!("{path}{name}");
        let value = match form {
            Form::Struct(inner) => {
                values(inner, &format!("{name}."), bytes, to);
                continue;
            }
            Form::U8 => bytes.first().map(|&byte| Value::from(byte)),
            Form::U16 => bytes.first_chunk().map(|&bytes| Value::from(u16::from_ne_bytes(bytes))),
            Form::U32 => bytes.first_chunk().map(|&bytes| Value::from(u32::from_ne_bytes(bytes))),
            Form::U64 => bytes.first_chunk().map(|&bytes| Value::from(u64::from_ne_bytes(bytes))),
            Form::I32 => bytes.first_chunk().map(|&bytes| Value::from(i32::from_ne_bytes(bytes))),
            Form::U32s(count) => bytes.get(..4 * count).map(|bytes| {
                let (numbers, _) = bytes.as_chunks();
                numbers.iter().map(|&number| u32::from_ne_bytes(number)).collect()
            }),
            Form::Text(count) => bytes.get(..count).map(|name| {
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                Value::from(escape(&name[..end]))
            }),
        };
        to.extend(value.map(|value| (name, value)));
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::SIGNAL_WITHOUT_AIM;

    use super::*;

    #[test]
    fn every_kind_has_its_own_name_and_number() {
        let names: Vec<_> = RecordKind::ALL.iter().map(|kind| kind.name()).collect();
        assert!(names.iter().enumerate().all(|(i, name)| !names[..i].contains(name)), "{names:?}");
        assert!(RecordKind::ALL.is_sorted_by_key(|&kind| kind as u8));
        for number in 0..=u8::MAX {
            let kind = RecordKind::ALL.iter().copied().find(|&kind| kind as u8 == number);
            assert_eq!(RecordKind::from_number(number), kind);
        }
    }

    #[test]
    fn a_record_of_an_older_version_lacks_its_later_fields() {
        let mut old = [0; SIGNAL_WITHOUT_AIM];
        old[offset_of!(Header, kind)] = RecordKind::Signal as u8;
        let Plain { name, fields, .. } = read(&old);
        let has = |wanted: &str| fields.iter().any(|(name, _)| name == wanted);
        assert_eq!((&name[..], has("signal"), has("terminal")), ("signal", true, false));
    }

    #[test]
    fn the_table_says_what_bits_and_values_mean() {
        let table = table();
        let record = |name: &str| table["records"].as_array().unwrap().iter().find(|record| record["name"] == name);
        let about = |kind, name: &str| {
            let fields = record(kind).unwrap()["fields"].as_array().unwrap();
            fields.iter().find(|field| field["name"] == name).unwrap()["about"].as_str().unwrap().to_owned()
        };
        assert!(about("signal", "flags").contains("; 1024: The sender is pid 1 of its own pid namespace;"));
        assert!(about("exit", "adopter_class").contains("; 2: The nearest living ancestor that is a subreaper;"));
        assert!(about("new", "header.at").ends_with(" Unit: ns of the boot-time clock."));
        assert!(about("command_line", "cut").ends_with(" 1: there was more."));
    }
}
