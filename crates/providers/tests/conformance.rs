//! The providers keep their contracts, under every binding.

use std::{collections::BTreeMap, io, net::IpAddr, sync::Arc};

use libos_conformance::{site, suite};
use libos_port::BoxFuture;
use libos_providers::{
    EndpointSpec, FsProvider, HttpConfig, HttpProvider, MethodSpec, Resolve, RpcProvider,
    SecretSource, SecretSpec, Secrets, ShellConfig, ShellProvider, layers_missing,
};

/// Names have no addresses here.
struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
    }
}

fn http() -> HttpProvider {
    let source = ["printf", "%s", site::SECRET_VALUE].map(String::from);
    let spec = SecretSpec {
        source: SecretSource::Command(source.into()),
        hosts: vec![site::host()],
        headers: vec![site::SECRET_HEADER.into()],
        variables: Vec::new(),
    };
    HttpProvider::new(HttpConfig {
        networks: vec!["127.0.0.0/8".parse().expect("a network")],
        ca_file: None,
        resolver: Arc::new(NoNames),
        secrets: Secrets::new(BTreeMap::from([(site::SECRET_NAME.to_owned(), spec)])),
    })
}

fn rpc() -> RpcProvider {
    let schema = |text: &str| serde_json::from_str(text).expect("it is JSON");
    let methods = site::METHODS.map(|(name, is_query, params, result)| {
        let (params, result) = (params.map(schema), result.map(schema));
        (name.to_owned(), MethodSpec { is_query, params, result })
    });
    let at = |url| EndpointSpec { url, secret: None, methods: methods.clone().into() };
    let closed = format!("http://127.0.0.1:{}/rpc", site::closed_port());
    let endpoints = BTreeMap::from([
        ("site".to_owned(), at(site::page("/rpc"))),
        ("closed".to_owned(), at(closed.parse().expect("a URL"))),
    ]);
    RpcProvider::new(endpoints, http()).expect("the schemas are ones")
}

suite!(fs, FsProvider::new);
suite!(http, http);
suite!(rpc, rpc);
suite!(shell, || ShellProvider::new(ShellConfig {
    may_lack: layers_missing().clone(),
    ..ShellConfig::from_host()
}));
