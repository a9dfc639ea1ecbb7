//! Passwords come from a prompt, or from standard input if that is not a terminal; never from an
//! argument, which every process of the machine can read.

use std::io::{self, IsTerminal, Read};

use zeroize::Zeroize;

use super::CommandFailure;
use crate::{model::Secret, protocol::password_policy::MAX_BYTES};

/// Asks for a new password.
pub(super) fn ask() -> Result<Secret<String>, CommandFailure> {
    if io::stdin().is_terminal() { prompt() } else { read(io::stdin().lock()) }
}

fn prompt() -> Result<Secret<String>, CommandFailure> {
    let ask = |question| {
        let answer = rpassword::prompt_password(question);
        answer
            .map(Secret::new)
            .map_err(|error| CommandFailure::failed(format!("the password cannot be read: {error}")))
    };
    let (first, second) = (ask("New password: ")?, ask("Again: ")?);
    if first.expose() != second.expose() {
        return Err(CommandFailure::failed("the two passwords differ; nothing was changed"));
    }
    Ok(first)
}

/// The first line, without its end.
fn read(from: impl Read) -> Result<Secret<String>, CommandFailure> {
    // Of the final size at once, so that no copies are left behind; more than the policy takes.
    let mut bytes = Vec::with_capacity(2 * MAX_BYTES + 1);
    let taken = from.take(2 * MAX_BYTES as u64).read_to_end(&mut bytes);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let valid = std::str::from_utf8(line).map(|line| Secret::new(line.to_owned()));
    bytes.zeroize();
    taken.map_err(|error| CommandFailure::failed(format!("the password cannot be read: {error}")))?;
    let text =
        valid.map_err(|_| CommandFailure::usage("the password on standard input is not UTF-8 text"))?;
    if text.expose().is_empty() {
        return Err(CommandFailure::usage(
            "there is no password on standard input; give it as the first line",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_standard_input_is_the_password() {
        for input in ["correct horse", "correct horse\n", "correct horse\r\n", "correct horse\nmore\n"] {
            let password = read(input.as_bytes()).expect("a password");
            assert_eq!(password.expose(), "correct horse", "{input:?}");
        }
        for input in [&b""[..], b"\n", b"\xff\n"] {
            assert_eq!(read(input).expect_err("no password").code, 2);
        }
    }
}
