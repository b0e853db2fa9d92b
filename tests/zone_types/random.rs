//! Random records: for each type data that its syntax allows, mostly, with numbers at their limits and odd spellings.

use std::fmt::Write as _;

use crate::common::generate::Dice;

/// A type and its data in presentation form.
pub(crate) fn record(dice: &mut Dice) -> String {
    let pattern = *dice.pick(PATTERNS);
    let mut text = String::new();
    for word in pattern.split(' ') {
        if !text.is_empty() {
            text.push(' ');
        }
        put(word, &mut text, dice);
    }
    text
}

/// Each word is replaced by a field; a word without a meaning is kept.
const PATTERNS: &[&str] = &[
    "A V4",
    "AAAA V6",
    "AFSDB U16 NAME",
    "AMTRELAY U8 BIT RELAY",
    "APL PREFIXES",
    "ATMA ATMA",
    "AVC TEXTS",
    "A6 A6",
    "BRID BASE64",
    "CAA U8 TAG TEXT",
    "CDNSKEY FLAGS U8 ALG BASE64",
    "CDS U16 ALG DIGEST",
    "CERT CERT U16 ALG BASE64",
    "CSYNC U32 U16 TYPES",
    "DHCID BASE64",
    "DNSKEY FLAGS PROTO ALG BASE64",
    "DOA U32 U32 U8 TEXT DOA",
    "DS U16 ALG DIGEST",
    "EID HEX",
    "EUI48 EUI6",
    "EUI64 EUI8",
    "GPOS TEXT TEXT TEXT",
    "HHIT BASE64",
    "HINFO TEXT TEXT",
    "HIP U8 HEXWORD BASE64WORD NAMES",
    "HTTPS U16 NAME PARAMS",
    "IPSECKEY U8 GATEWAY",
    "ISDN TEXT",
    "ISDN TEXT TEXT",
    "KEY FLAGS PROTO ALG BASE64",
    "KX U16 NAME",
    "L32 U16 V4",
    "L64 U16 LOCATOR",
    "LOC LOC",
    "LP U16 NAME",
    "MB NAME",
    "MG NAME",
    "MINFO NAME NAME",
    "MR NAME",
    "MX U16 NAME",
    "NAPTR U16 U16 TEXT TEXT REGEXP NAME",
    "NID U16 LOCATOR",
    "NIMLOC HEX",
    "NINFO TEXTS",
    "NSAP NSAP",
    "NSAP-PTR NAME",
    "NXT NAME OLDTYPES",
    "OPENPGPKEY BASE64",
    "PTR NAME",
    "PX U16 NAME NAME",
    "RESINFO TEXTS",
    "RKEY 0 U8 ALG BASE64",
    "RP NAME NAME",
    "RT U16 NAME",
    "SIG TYPE ALG U8 U32 DATE DATE U16 NAME BASE64",
    "SINK U8 U8 U8 BASE64",
    "SMIMEA U8 U8 U8 HEX",
    "SPF TEXTS",
    "SRV U16 U16 U16 NAME",
    "SSHFP U8 U8 HEX",
    "SVCB U16 NAME PARAMS",
    "TA U16 ALG DIGEST",
    "DLV U16 ALG DIGEST",
    "TALINK NAME NAME",
    "TLSA U8 U8 U8 HEX",
    "TXT TEXTS",
    "TYPE65300 GENERIC",
    "URI U16 U16 QUOTED",
    "WALLET TEXTS",
    "WKS V4 SERVICES",
    "X25 DIGITS",
    "ZONEMD U32 U8 ZONEMD",
];

fn put(word: &str, text: &mut String, dice: &mut Dice) {
    let hex =
        |dice: &mut Dice, bytes: usize| -> String {
            (0..bytes)
                .map(|_| {
                    if dice.once_in(2) {
                        format!("{:02x}", dice.below(256))
                    } else {
                        format!("{:02X}", dice.below(256))
                    }
                })
                .collect()
        };
    match word {
        "BIT" => number(text, dice, 1),
        "U8" => number(text, dice, 255),
        "U16" => number(text, dice, 65_535),
        "U32" => number(text, dice, u32::MAX),
        "V4" => text.push_str(&v4(dice)),
        "V6" => text.push_str(&v6(dice)),
        "NAME" => text.push_str(&name(dice)),
        "NAMES" => {
            let names: Vec<String> = (0..dice.below(3)).map(|_| name(dice)).collect();
            text.push_str(&names.join(" "));
        }
        "TEXT" => text.push_str(&string(dice)),
        "QUOTED" => {
            let string = string(dice);
            text.push_str(&if string.starts_with('"') { string } else { format!("\"{string}\"") });
        }
        "TEXTS" => {
            let texts: Vec<String> = (0..=dice.below(3)).map(|_| string(dice)).collect();
            text.push_str(&texts.join(" "));
        }
        "REGEXP" => text.push_str(dice.pick::<&str>(&["\"\"", "\"!^.*$!sip:a@b!\"", "\"!a(b)!c\\\\1!i\""])),
        "TAG" => text.push_str(dice.pick::<&str>(&["issue", "issuewild", "iodef", "Tag1"])),
        "DIGITS" => {
            let _ = write!(text, "{}", 1000 + dice.below(1_000_000));
        }
        "ALG" => text.push_str(&match dice.below(3) {
            0 => dice
                .pick(&["RSASHA256", "ed25519", "ECDSAP256SHA256", "RSASHA1", "NSEC3RSASHA1", "INDIRECT"])
                .to_string(),
            // 253 and 254 have further rules.
            _ => dice.below(250).to_string(),
        }),
        "CERT" => text.push_str(&match dice.below(2) {
            0 => dice.pick(&["PKIX", "spki", "PGP", "IPKIX", "URI", "OID", "IACPKIX"]).to_string(),
            _ => dice.below(65_536).to_string(),
        }),
        // BIND reads no key after flags with both upper bits.
        "FLAGS" => text.push_str(&match dice.below(2) {
            0 => dice.pick(&["ZONE", "ZONE|KSK", "noauth", "USER|FLAG2|SIG5", "NOCONF|HOST"]).to_string(),
            _ => dice.below(0xc000).to_string(),
        }),
        "PROTO" => text.push_str(&match dice.below(2) {
            0 => dice.pick(&["DNSSEC", "tls", "ALL", "EMAIL"]).to_string(),
            _ => dice.below(256).to_string(),
        }),
        "DIGEST" => {
            let kind = dice.below(6);
            let len = [1, 20, 32, 32, 48, 7][kind];
            let _ = write!(text, "{kind} {}", hex(dice, len));
        }
        "ZONEMD" => {
            let (kind, len) = *dice.pick(&[(1, 48), (2, 64), (240, 12), (5, 33)]);
            let _ = write!(text, "{kind} {}", hex(dice, len));
        }
        "HEX" => {
            let parts: Vec<String> = (0..=dice.below(3))
                .map(|_| {
                    let len = 1 + dice.below(20);
                    hex(dice, len)
                })
                .collect();
            text.push_str(&parts.join(" "));
        }
        "HEXWORD" => {
            let len = 1 + dice.below(20);
            text.push_str(&hex(dice, len));
        }
        "BASE64" => {
            let whole = base64(dice);
            let at = 1 + dice.below(whole.len() - 1);
            text.push_str(&if dice.once_in(3) { format!("{} {}", &whole[..at], &whole[at..]) } else { whole });
        }
        "BASE64WORD" => text.push_str(&base64(dice)),
        "DOA" => text.push_str(&if dice.once_in(4) { "-".to_string() } else { base64(dice) }),
        "TYPE" => text.push_str(&rtype(dice)),
        "TYPES" => {
            let types: Vec<String> = (0..dice.below(6)).map(|_| rtype(dice)).collect();
            text.push_str(&types.join(" "));
        }
        "OLDTYPES" => {
            let types: Vec<&str> =
                (0..=dice.below(4)).map(|_| *dice.pick(&["A", "NS", "NXT", "SIG", "TYPE127", "TYPE99"])).collect();
            text.push_str(&types.join(" "));
        }
        "DATE" => {
            let (month, day, hour) = (1 + dice.below(12), 1 + dice.below(28), dice.below(24));
            let _ = write!(
                text,
                "{:04}{month:02}{day:02}{hour:02}{:02}{:02}",
                1970 + dice.below(136),
                dice.below(60),
                dice.below(60)
            );
        }
        "EUI6" | "EUI8" => {
            let bytes: Vec<String> = (0..if word == "EUI6" { 6 } else { 8 }).map(|_| hex(dice, 1)).collect();
            text.push_str(&bytes.join("-"));
        }
        "LOCATOR" => {
            let groups: Vec<String> = (0..4)
                .map(|_| {
                    let shift = dice.below(16);
                    format!("{:x}", dice.below(65_536) >> shift)
                })
                .collect();
            text.push_str(&groups.join(":"));
        }
        "NSAP" => {
            let parts: Vec<String> = (0..=dice.below(4))
                .map(|_| {
                    let len = 1 + dice.below(4);
                    hex(dice, len)
                })
                .collect();
            let _ = write!(text, "0x{}", parts.join("."));
        }
        "ATMA" if dice.once_in(2) => {
            let _ = write!(text, "+{}", 1 + dice.below(1_000_000));
        }
        "ATMA" => {
            let parts: Vec<String> = (0..=dice.below(4))
                .map(|_| {
                    let len = 1 + dice.below(4);
                    hex(dice, len)
                })
                .collect();
            text.push_str(&parts.join("."));
        }
        "PREFIXES" => {
            let prefixes: Vec<String> = (0..dice.below(4))
                .map(|_| {
                    let not = if dice.once_in(3) { "!" } else { "" };
                    match dice.below(2) {
                        0 => format!("{not}1:{}/{}", v4(dice), dice.below(33)),
                        _ => format!("{not}2:{}/{}", v6(dice), dice.below(129)),
                    }
                })
                .collect();
            text.push_str(&prefixes.join(" "));
        }
        "A6" => match dice.below(4) {
            0 => {
                let _ = write!(text, "0 {}", v6(dice));
            }
            1 => {
                let _ = write!(text, "128 {}", name(dice));
            }
            _ => {
                let _ = write!(text, "{} {} {}", 1 + dice.below(127), v6(dice), name(dice));
            }
        },
        "RELAY" => match dice.below(4) {
            0 => text.push_str("0 ."),
            1 => *text += &format!("1 {}", v4(dice)),
            2 => *text += &format!("2 {}", v6(dice)),
            _ => *text += &format!("3 {}", name(dice)),
        },
        "GATEWAY" => {
            let algorithm = 1 + dice.below(3);
            match dice.below(4) {
                0 => *text += &format!("0 {algorithm} ."),
                1 => *text += &format!("1 {algorithm} {}", v4(dice)),
                2 => *text += &format!("2 {algorithm} {}", v6(dice)),
                _ => *text += &format!("3 {algorithm} {}", name(dice)),
            }
            *text += &format!(" {}", base64(dice));
        }
        "GENERIC" => {
            let len = dice.below(40);
            *text += &format!("\\# {len} {}", hex(dice, len));
        }
        "SERVICES" => {
            text.push_str(dice.pick::<&str>(&["tcp", "UDP", "6", "17", "132"]));
            for _ in 0..dice.below(4) {
                text.push(' ');
                match dice.below(3) {
                    0 => text.push_str(dice.pick::<&str>(&["Domain", "time"])),
                    _ => number(text, dice, 65_535),
                }
            }
        }
        "LOC" => text.push_str(&location(dice)),
        "PARAMS" => text.push_str(&params(dice)),
        _ => text.push_str(word),
    }
}

fn number(text: &mut String, dice: &mut Dice, most: u32) {
    let number = match dice.below(4) {
        0 => most,
        1 => 0,
        _ => (dice.next() % (u64::from(most) + 1)) as u32,
    };
    let _ = write!(text, "{number}");
}

fn v4(dice: &mut Dice) -> String {
    std::net::Ipv4Addr::from(dice.next() as u32 & *dice.pick(&[u32::MAX, 0xffff_0000, 0xff00_0000])).to_string()
}

fn v6(dice: &mut Dice) -> String {
    let bits = u128::from(dice.next()) << 64 | u128::from(dice.next());
    std::net::Ipv6Addr::from(bits & !0 << *dice.pick(&[0, 16, 64, 80, 120])).to_string()
}

fn name(dice: &mut Dice) -> String {
    dice.pick(&[
        ".",
        "@",
        "a",
        "Host.sub",
        "*.x",
        "a\\.b.example.",
        "x\\032y",
        "far.example.",
        "\\255\\000.z",
        "under_score",
    ])
    .to_string()
}

fn string(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => dice.pick(&["word", "w\\;x", "a\\;b", "\\065\\255", "1", "back\\\\slash"]).to_string(),
        1 => dice.pick(&["\"\"", "\"a b\"", "\"semi;colon (\"", "\"q\\\"uote\"", "\"\\000\\032\\\\\""]).to_string(),
        _ => format!("\"{}\"", "x".repeat(dice.below(256))),
    }
}

fn base64(dice: &mut Dice) -> String {
    let bytes: Vec<u8> = (0..=dice.below(40)).map(|_| dice.below(256) as u8).collect();
    data_encoding::BASE64.encode(&bytes)
}

fn rtype(dice: &mut Dice) -> String {
    match dice.below(2) {
        0 => dice
            .pick(&["A", "ns", "AAAA", "LOC", "URI", "CAA", "TYPE65280", "RRSIG", "DLV", "L64", "NSAP-PTR"])
            .to_string(),
        _ => format!("TYPE{}", 1 + dice.below(65_535)),
    }
}

fn location(dice: &mut Dice) -> String {
    let seconds = |dice: &mut Dice| match dice.below(3) {
        0 => format!("{}", dice.below(60)),
        1 => format!("{}.{}", dice.below(60), dice.below(1000)),
        _ => format!("{}.{:03}", dice.below(60), dice.below(1000)),
    };
    let side = |most: usize, directions: [&str; 2], dice: &mut Dice| {
        let mut text = format!("{}", dice.below(most));
        if !dice.once_in(4) {
            let _ = write!(text, " {}", dice.below(60));
            if !dice.once_in(3) {
                let _ = write!(text, " {}", seconds(dice));
            }
        }
        format!("{text} {}", dice.pick(&directions))
    };
    let (latitude, longitude) = (side(90, ["N", "S"], dice), side(180, ["E", "W"], dice));
    let unit = *dice.pick(&["m", ""]);
    let altitude = match dice.below(4) {
        0 => format!("-{}.{:02}", dice.below(100_000), dice.below(100)),
        1 => "42849672.95".to_string(),
        2 => format!("{}", dice.below(10_000)),
        _ => format!("{}.{}", dice.below(10_000), dice.below(10)),
    };
    let mut text = format!("{latitude} {longitude} {altitude}{unit}");
    for _ in 0..dice.below(4) {
        let size = match dice.below(4) {
            0 => format!("0.{:02}", dice.below(100)),
            1 => "90000000".to_string(),
            2 => format!("{}.{}", dice.below(1000), dice.below(100)),
            _ => format!("{}", dice.below(90_000_000)),
        };
        let _ = write!(text, " {size}{unit}");
    }
    text
}

fn params(dice: &mut Dice) -> String {
    let mut all: Vec<String> = Vec::new();
    let known = [
        "alpn=h2,h3",
        "alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
        "port=53",
        "port=\"65535\"",
        "ipv4hint=192.0.2.1,192.0.2.2",
        "ipv6hint=\"2001:db8::1\"",
        "ech=AEP+DQA=",
        "dohpath=/dns-query{?dns}",
        "key667=hello",
        "key667=\"hello\\210qoo\"",
        "key9999=x",
        "key65535",
        "key10=\"\"",
        "alpn=h3 no-default-alpn",
        "alpn=h2 mandatory=alpn",
        "port=1 mandatory=key3",
        "no-default-alpn",
        "mandatory=mandatory",
        "mandatory=port",
        "alpn=",
        "alpn=a,,b",
        "port=65536",
        "key007=x",
        "KEY9=x",
        "ALPN=h2",
        "key1=\\002h2",
        "key3=\\001\\002",
        "key3=x",
    ];
    for _ in 0..dice.below(4) {
        all.push(dice.pick(&known).to_string());
    }
    all.join(" ")
}
