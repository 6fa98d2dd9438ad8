//! Which addresses may be connected to.
//!
//! An address of the public internet may; any other only where the host lists its network. Decided
//! on the very address that is connected to, never on a name.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Addresses at which clouds tell machines their credentials. A wider network does not open them.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// IPv4 that is not of the public internet: address and bits (IANA's special-purpose registry).
const SPECIAL_4: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Of the global unicast addresses of IPv6, those that stand for others or for nobody.
const SPECIAL_6: [(Ipv6Addr, u8); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// A network, as in `10.1.0.0/16` or `::1/128`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network: write 10.1.0.0/16, fd00::/8 or one address")]
pub struct BadNetwork(String);

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.chars().take(64).collect());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| bad())?;
        let network = Self { address, bits };
        let is_base = bits <= most && network.contains_bits() == bits;
        if is_base { Ok(network) } else { Err(bad()) }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Its bits, or more if its address has bits set behind them.
    fn contains_bits(self) -> u8 {
        let (value, most) = number(self.address);
        let used = most - u8::try_from(value.trailing_zeros()).unwrap_or(128).min(most);
        self.bits.max(used)
    }

    fn contains(self, address: IpAddr) -> bool {
        let ((base, most), (value, of)) = (number(self.address), number(address));
        most == of && shares(base, value, self.bits, most)
    }

    fn is_one(self) -> bool {
        self.bits == number(self.address).1
    }
}

/// An address as a number, and how many bits it has.
fn number(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

fn shares(one: u128, other: u128, bits: u8, of: u8) -> bool {
    bits == 0 || (one ^ other) >> (of - bits) == 0
}

/// Whether an address may be connected to: of the public internet, or of a network listed here.
pub(super) fn is_open(address: IpAddr, networks: &[Network]) -> bool {
    let listed = || networks.iter().filter(|network| network.contains(address));
    if METADATA.contains(&address) {
        return listed().any(|network| network.is_one());
    }
    is_public(address) || listed().next().is_some()
}

fn is_public(address: IpAddr) -> bool {
    let is_in = |base: IpAddr, bits| Network { address: base, bits }.contains(address);
    match address {
        IpAddr::V4(_) => !SPECIAL_4.iter().any(|(base, bits)| is_in((*base).into(), *bits)),
        // What is mapped, translated or local is outside of the global unicast addresses.
        IpAddr::V6(_) => {
            is_in(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0).into(), 3)
                && !SPECIAL_6.iter().any(|(base, bits)| is_in((*base).into(), *bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(address: &str, networks: &[&str]) -> bool {
        let networks: Vec<Network> = networks.iter().map(|text| text.parse().unwrap()).collect();
        is_open(address.parse().unwrap(), &networks)
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_open() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.0",
            "126.0.0.1",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(open(address, &[]), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.1.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "100.100.100.200",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!open(address, &[]), "{address}");
        }
    }

    #[test]
    fn a_listed_network_is_open_and_nothing_beside_it() {
        for (address, network, is_open) in [
            ("127.0.0.1", "127.0.0.0/8", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.2", "127.0.0.1", false),
            ("10.1.255.1", "10.1.0.0/16", true),
            ("10.2.0.1", "10.1.0.0/16", false),
            ("::1", "::1", true),
            ("::ffff:127.0.0.1", "127.0.0.0/8", false),
            ("127.0.0.1", "::/0", false),
            ("169.254.169.254", "169.254.0.0/16", false),
            ("169.254.169.254", "0.0.0.0/0", false),
            ("169.254.169.254", "169.254.169.254", true),
            ("fd00:ec2::254", "fd00::/8", false),
        ] {
            assert_eq!(open(address, &[network]), is_open, "{address} {network}");
        }
    }

    #[test]
    fn a_network_is_written_by_its_base_and_its_bits() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "::/129", "1.2.3/8"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        for text in ["10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "10.0.0.1/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }
}
