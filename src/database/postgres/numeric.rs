//! `numeric` as PostgreSQL sends it: groups of four decimal digits.

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;

/// The bytes of a decimal number like `-12.50`; None if it is no such number.
pub(super) fn to_bytes(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (NEGATIVE, text),
        None => (POSITIVE, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.trim_start_matches('0');
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|c| c.is_ascii_digit())
    {
        return None;
    }
    // Groups are aligned to the point.
    let mut groups: Vec<u16> = Vec::with_capacity((whole.len() + fraction.len()) / 4 + 2);
    let first = whole.len() % 4;
    if first > 0 {
        groups.push(number(&whole[..first]));
    }
    groups.extend(whole.as_bytes()[first..].chunks(4).map(group));
    let mut weight = i16::try_from(groups.len()).ok()? - 1;
    groups.extend(fraction.as_bytes().chunks(4).map(group));
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight -= i16::try_from(leading).ok()?;
    let sign = if groups.is_empty() { POSITIVE } else { sign };
    bytes.extend(u16::try_from(groups.len()).ok()?.to_be_bytes());
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(u16::try_from(fraction.len()).ok()?.to_be_bytes());
    for group in groups {
        bytes.extend(group.to_be_bytes());
    }
    Some(())
}

/// Up to four digits from the left of a group, the rest zero.
fn group(digits: &[u8]) -> u16 {
    let mut number = 0;
    for at in 0..4 {
        let digit = digits.get(at).map_or(0, |digit| digit - b'0');
        number = number * 10 + u16::from(digit);
    }
    number
}

fn number(digits: &str) -> u16 {
    digits
        .bytes()
        .fold(0, |n, digit| n * 10 + u16::from(digit - b'0'))
}

/// The number as text; None for NaN and the infinities, and if these bytes are no number.
pub(super) fn to_text(bytes: &[u8]) -> Option<String> {
    let mut words = bytes
        .chunks_exact(2)
        .map(|word| u16::from_be_bytes([word[0], word[1]]));
    let count = usize::from(words.next()?);
    let weight = i32::from(words.next()?.cast_signed());
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    let groups: Vec<u16> = words.collect();
    if groups.len() != count || (sign != POSITIVE && sign != NEGATIVE) {
        return None;
    }
    let at = |place: i32| {
        let group = usize::try_from(weight - place).ok();
        group
            .and_then(|group| groups.get(group))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    match weight {
        0.. => {
            text += &at(weight).to_string();
            for place in (0..weight).rev() {
                text += &format!("{:04}", at(place));
            }
        }
        _ => text.push('0'),
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < scale {
            fraction += &format!("{:04}", at(place));
            place -= 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text += &fraction;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_survives_the_way_there_and_back() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "9999",
            "10000",
            "123456789.10",
            "-0.0001",
            "0.00001",
            "12345678901234567890123456789012345678",
            "1000000.000000000001",
            "-20000",
            "0.5000",
            "10000.0001",
        ] {
            let mut bytes = Vec::new();
            to_bytes(text, &mut bytes).unwrap();
            assert_eq!(to_text(&bytes).as_deref(), Some(text));
        }
        assert_eq!(to_bytes("1e5", &mut Vec::new()), None);
        assert_eq!(to_text(&[0, 0, 0, 0, 0xC0, 0, 0, 0]), None);
    }
}
