//! The source of a tool, as the compiler takes it.

use libos_abi::tool::{self, Definition};

use crate::{CompileError, Language};

/// What a binary source begins with.
const BASE64: &str = "base64:";

pub(super) fn language(language: tool::Language) -> Language {
    match language {
        tool::Language::JavaScript => Language::JavaScript,
        tool::Language::TypeScript => Language::TypeScript,
        tool::Language::Wat => Language::Module,
        tool::Language::Component => Language::Component,
    }
}

/// The bytes of a source. Modules and components may be binary, written in base64.
pub(super) fn source(tool: &Definition) -> Result<Vec<u8>, CompileError> {
    let text = tool.source.as_str().ok_or(CompileError::Internal)?;
    let is_wasm = matches!(tool.language, tool::Language::Wat | tool::Language::Component);
    match text.strip_prefix(BASE64) {
        Some(digits) if is_wasm => decoded(digits).ok_or_else(|| CompileError::Syntax {
            at: None,
            message: "what follows `base64:` is no base64".into(),
        }),
        _ => Ok(text.as_bytes().to_vec()),
    }
}

/// The bytes that base64 with the standard alphabet stands for. White space is passed over.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    let digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let mut digits = digits.peekable();
    while let Some(digit) = digits.next_if(|byte| *byte != b'=') {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    // Only padding may follow, and what is left over stands for nothing.
    (digits.all(|byte| byte == b'=') && held < 6 && bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn base64_is_read_as_it_is_written_elsewhere() {
        let table: [(&str, Option<&[u8]>); 8] = [
            ("", Some(b"")),
            ("AGFzbQ==", Some(b"\0asm")),
            ("AGFz\nbQ==\n", Some(b"\0asm")),
            ("AGFzbQ", Some(b"\0asm")),
            ("/+8=", Some(&[0xff, 0xef])),
            ("A", None),
            ("AGF$", None),
            ("AGFzbQ==AA", None),
        ];
        for (text, bytes) in table {
            assert_eq!(decoded(text).as_deref(), bytes, "{text}");
        }
    }
}
