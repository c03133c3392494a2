//! Private keys under `PBE-SHA1-3DES`: of encrypted ones, those that StateFun itself reads.
//!
//! Weak by today's measure, and read only: the key is as safe as the file it is in. Source: RFC 7292, appendix B.2 and C.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use des::TdesEde3;
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Error, Reader as _, SliceReader};
use pkcs8::spki::AlgorithmIdentifierRef;
use sha1::{Digest as _, Sha1};

/// `pbeWithSHAAnd3-KeyTripleDES-CBC`.
const SCHEME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");

/// What SHA-1 takes and gives, in bytes.
const BLOCK: usize = 64;
const DIGEST: usize = 20;

/// What derived bytes are for.
const KEY: u8 = 1;
const VECTOR: u8 = 2;

/// An encrypted key of this scheme.
#[derive(Debug)]
pub(super) struct OldKey<'a> {
    salt: &'a [u8],
    rounds: u32,
    encrypted: &'a [u8],
}

impl<'a> OldKey<'a> {
    /// Reads an `EncryptedPrivateKeyInfo`. `None`: it is of another scheme, or damaged.
    pub(super) fn parse(document: &'a [u8]) -> Option<Self> {
        let mut reader = SliceReader::new(document).ok()?;
        let (scheme, encrypted) = reader
            .sequence(|reader| {
                let scheme: AlgorithmIdentifierRef<'a> = reader.decode()?;
                let encrypted: &'a OctetStringRef = reader.decode()?;
                Ok::<_, Error>((scheme, encrypted))
            })
            .ok()?;
        let parameters = scheme.parameters.filter(|_| scheme.oid == SCHEME)?;
        let mut parameters = SliceReader::new(parameters.value()).ok()?;
        let salt: &'a OctetStringRef = parameters.decode().ok()?;
        Some(Self {
            salt: salt.as_bytes(),
            rounds: parameters.decode().ok()?,
            encrypted: encrypted.as_bytes(),
        })
    }

    /// The key as DER. `None`: it is not the password.
    pub(super) fn decrypt(&self, password: &[u8]) -> Option<Vec<u8>> {
        let password = std::str::from_utf8(password).ok()?;
        let key: [u8; 24] = self.derive(KEY, password);
        let vector: [u8; 8] = self.derive(VECTOR, password);
        let cipher = cbc::Decryptor::<TdesEde3>::new(&key.into(), &vector.into());
        let mut plain = self.encrypted.to_vec();
        let length = cipher.decrypt_padded::<Pkcs7>(&mut plain).ok()?.len();
        plain.truncate(length);
        // Whatever came out: a wrong password may look well padded.
        SliceReader::new(&plain)
            .and_then(|mut reader| reader.sequence(|reader| reader.drain(reader.remaining_len())))
            .is_ok()
            .then_some(plain)
    }

    fn derive<const LENGTH: usize>(&self, purpose: u8, password: &str) -> [u8; LENGTH] {
        let wide = password.encode_utf16().chain([0]);
        let wide: Vec<u8> = wide.flat_map(u16::to_be_bytes).collect();
        let mut mixed = [filled(self.salt), filled(&wide)].concat();
        let (mut derived, mut at) = ([0; LENGTH], 0);
        while at < LENGTH {
            let mut digest = Sha1::new_with_prefix([purpose; BLOCK]);
            digest.update(&mixed);
            let mut bytes: [u8; DIGEST] = digest.finalize().into();
            for _ in 1..self.rounds {
                bytes = Sha1::digest(bytes).into();
            }
            for (to, from) in derived.iter_mut().skip(at).zip(bytes) {
                *to = from;
            }
            at += DIGEST;
            mixed.chunks_mut(BLOCK).for_each(|block| add(block, &bytes));
        }
        derived
    }
}

/// Repeated until it fills whole blocks.
fn filled(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().next_multiple_of(BLOCK);
    bytes.iter().copied().cycle().take(length).collect()
}

/// `block + digest, repeated, + 1`, as one number in big-endian order.
fn add(block: &mut [u8], digest: &[u8; DIGEST]) {
    let mut addend: Vec<u8> = digest.iter().copied().cycle().take(BLOCK).collect();
    let mut carry = 1;
    while let Some(byte) = addend.pop() {
        if let Some(place) = block.get_mut(addend.len()) {
            let sum = u16::from(*place) + u16::from(byte) + carry;
            *place = sum.to_be_bytes()[1];
            carry = sum >> 8;
        }
    }
}
