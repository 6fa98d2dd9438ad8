//! `libos demo`.

use crate::{args::DemoArgs, exit::{Exit, Failure}, host::Host};

pub(crate) async fn demo(_host: &Host, _args: &DemoArgs) -> Result<Exit, Failure> {
    Ok(Exit::Done)
}
