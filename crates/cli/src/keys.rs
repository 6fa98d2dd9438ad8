//! The files of keys that sign heads and check them.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use agent_libos::journal::{KeyError, PublicKey, SecretKey};

use crate::{
    exit::{Exit, Failure},
    host::Host,
    show,
};

pub(crate) fn keygen(host: &Host, file: &Path) -> Result<Exit, Failure> {
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let secret = SecretKey::generate().map_err(|error| key_failure(file, &error))?;
    let pems = secret.to_pem().and_then(|pem| Ok((pem, secret.public().to_pem()?)));
    let (secret_pem, public_pem) = pems.map_err(|error| key_failure(file, &error))?;
    write_new(file, 0o600, &secret_pem)?;
    write_new(Path::new(&public), 0o644, &public_pem)?;
    if host.json {
        let public = Path::new(&public);
        show::json(&serde_json::json!({ "secret_key": file, "public_key": public }));
    } else {
        let public = Path::new(&public).display();
        say!("{} signs heads; keep it from everybody else.", file.display());
        say!("{public} checks them; give it to whoever is to check.");
    }
    Ok(Exit::Done)
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        Failure::new(Exit::Usage, "invalid_file", format!("{}: {error}", path.display()))
    })
}

pub(crate) fn secret_key(path: &Path) -> Result<SecretKey, Failure> {
    SecretKey::from_pem(&read(path)?).map_err(|error| key_failure(path, &error))
}

pub(crate) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&read(path)?).map_err(|error| key_failure(path, &error))
}

fn key_failure(path: &Path, error: &KeyError) -> Failure {
    Failure::new(Exit::Usage, "invalid_file", format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text).map_err(|error| {
        Failure::new(Exit::Usage, "invalid_file", format!("{}: {error}", path.display()))
    })?;
    Ok(text)
}

pub(crate) fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    File::open(path).map(BufReader::new).map_err(|error| {
        Failure::new(Exit::Usage, "invalid_file", format!("{}: {error}", path.display()))
    })
}
