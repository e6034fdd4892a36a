//! Bytes as hex and text, sixteen to a line.

/// A dump of `bytes`, each line marked with `mark`, at `offset` in their stream.
pub(crate) fn dump(mark: char, offset: usize, bytes: &[u8]) -> String {
    let mut text = String::new();
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let hex: String = chunk
            .iter()
            .enumerate()
            .map(|(at, byte)| format!("{}{byte:02x}", if at == 8 { "  " } else { " " }))
            .collect();
        let shown: String = chunk
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
            .collect();
        text += &format!("{mark} {:08x} {hex:<49}  {shown}\n", offset + row * 16);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::dump;

    #[test]
    fn bytes_line_up() {
        let text = dump('<', 16, b"hello, world 1234\n");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "< 00000010  68 65 6c 6c 6f 2c 20 77  6f 72 6c 64 20 31 32 33  hello, world 123");
        assert_eq!(lines[1], "< 00000020  34 0a                                             4.");
    }
}
