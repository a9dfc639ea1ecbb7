//! RFC 8259 — writing the answers of the token path: flat objects of texts and numbers.
//!
//! What is written there hardly ever needs an escape, so a text is looked through once, many bytes at a
//! time, and copied. Texts that need one are left to serde_json.

/// An object that is being written.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    opened: bool,
}

impl<'o> Object<'o> {
    /// Begins an object at the end of `out`.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, opened: true }
    }

    /// Ends it.
    pub fn end(self) {
        self.out.push(b'}');
    }

    /// A member with a text.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        write_text(value, self.out);
    }

    /// A member with a list of texts.
    pub fn texts<'t>(&mut self, name: &'static str, values: impl IntoIterator<Item = &'t str>) {
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
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut left = value;
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    /// A member that is true.
    pub fn yes(&mut self, name: &'static str) {
        self.name(name);
        self.out.extend_from_slice(b"true");
    }

    /// The name of the next member, which needs no escape.
    fn name(&mut self, name: &'static str) {
        if !std::mem::take(&mut self.opened) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    if needs_escape(text.as_bytes()) {
        return serde_json::to_writer(out, text).expect("a text becomes JSON");
    }
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
    use serde_json::{Value, json};

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
        object.yes("active");
        object.number("exp", 1_900);
        object.text("sub", "a\"b");
        object.texts("aud", ["urn:a", "urn:b"]);
        object.end();
        assert_eq!(out, br#"before {"active":true,"exp":1900,"sub":"a\"b","aud":["urn:a","urn:b"]}"#);
        assert_eq!(written(|_| ()), json!({}));
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(text: String, number: u64, list: Vec<String>) {
            let read = written(|object| {
                object.text("text", &text);
                object.number("number", number);
                object.texts("list", list.iter().map(String::as_str));
            });
            prop_assert_eq!(read, json!({ "text": text, "number": number, "list": list }));
        }
    }
}
