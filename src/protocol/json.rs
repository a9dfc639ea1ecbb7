//! RFC 8259 — writing the answers of the token path: flat objects of texts and numbers.
//!
//! What is written there hardly ever needs an escape, so a text is looked through once, many bytes at a
//! time, and copied. Texts that need one are left to serde_json. What is short is inlined: a name's length is
//! then known where it is written, and copying it takes no call.

use serde_json::Value;

/// The name of a member, with all that comes between the value before and its own.
#[derive(Clone, Copy)]
pub struct Name(&'static str);

impl Name {
    /// For the macro `name!`, which puts together what is written.
    pub const fn of(written: &'static str) -> Self {
        Self(written)
    }
}

/// A name that needs no escape.
macro_rules! name {
    ($name:literal) => {
        $crate::protocol::json::Name::of(concat!(",\"", $name, "\":"))
    };
}

pub(crate) use name;

/// An object that is being written.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// The first member has no comma before it.
    skip: usize,
}

impl<'o> Object<'o> {
    /// Begins an object at the end of `out`.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, skip: 1 }
    }

    /// Ends it.
    pub fn end(self) {
        self.out.push(b'}');
    }

    /// A member with a text.
    #[inline]
    pub fn text(&mut self, name: Name, value: &str) {
        self.name(name);
        write_text(value, self.out);
    }

    /// A member with a text that has no character that needs an escape: a token, an id, scopes.
    #[inline]
    pub fn plain(&mut self, name: Name, value: &str) {
        debug_assert!(!needs_escape(value.as_bytes()), "a text that needs an escape");
        self.name(name);
        write_plain(value, self.out);
    }

    /// A member with a list of texts.
    pub fn texts<'t>(&mut self, name: Name, values: impl IntoIterator<Item = &'t str>) {
        self.name(name);
        self.out.push(b'[');
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            write_text(value, self.out);
        }
        self.out.push(b']');
    }

    /// A member with a whole number.
    #[inline]
    pub fn number(&mut self, name: Name, value: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A member with any value, under a name that needs no escape.
    pub fn value(&mut self, name: &str, value: &Value) {
        debug_assert!(!needs_escape(name.as_bytes()), "a name that needs an escape");
        if std::mem::take(&mut self.skip) == 0 {
            self.out.push(b',');
        }
        write_plain(name, self.out);
        self.out.push(b':');
        match value {
            Value::String(text) => write_text(text, self.out),
            value => serde_json::to_writer(&mut *self.out, value).expect("a value becomes JSON"),
        }
    }

    /// A member that is true.
    #[inline]
    pub fn yes(&mut self, name: Name) {
        self.name(name);
        self.out.extend_from_slice(b"true");
    }

    #[inline]
    fn name(&mut self, Name(written): Name) {
        self.out.extend_from_slice(&written.as_bytes()[std::mem::take(&mut self.skip)..]);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    if needs_escape(text.as_bytes()) {
        return serde_json::to_writer(out, text).expect("a text becomes JSON");
    }
    write_plain(text, out);
}

#[inline]
fn write_plain(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// RFC 8259 §7. No early end, so that the compiler can look at many bytes at once.
fn needs_escape(text: &[u8]) -> bool {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    text.iter().fold(false, |found, byte| found | special(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(write: impl FnOnce(&mut Object)) -> Value {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        write(&mut object);
        object.end();
        serde_json::from_slice(&out).expect("it is JSON")
    }

    #[test]
    fn an_object_has_its_members_in_order() {
        let mut out = b"before ".to_vec();
        let mut object = Object::begin(&mut out);
        object.yes(name!("active"));
        object.number(name!("exp"), 1_900);
        object.text(name!("sub"), "a\"b");
        object.texts(name!("aud"), ["urn:a", "urn:b"]);
        object.end();
        assert_eq!(out, br#"before {"active":true,"exp":1900,"sub":"a\"b","aud":["urn:a","urn:b"]}"#);
        assert_eq!(written(|_| ()), json!({}));
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(text: String, number: u64, list: Vec<String>) {
            let read = written(|object| {
                object.text(name!("text"), &text);
                object.number(name!("number"), number);
                object.texts(name!("list"), list.iter().map(String::as_str));
                object.value("value", &json!(text));
                object.value("object", &json!({ "list": list }));
            });
            prop_assert_eq!(read, json!({
                "text": text, "number": number, "list": list, "value": text, "object": { "list": list },
            }));
        }
    }
}
