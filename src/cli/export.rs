//! `client export` and `user export`: NDJSON, page by page, so that memory does not grow with the store.
//!
//! Every record is as it was when its page was read; what is registered meanwhile comes at the end.

use std::ops::ControlFlow;

use super::{CommandFailure, client, output::NdjsonWriter, user};
use crate::app::Node;

/// Records read at once.
const PAGE: usize = 500;

pub(super) async fn clients(node: &Node) -> Result<(), CommandFailure> {
    let (mut lines, mut after) = (NdjsonWriter::begin(), None);
    loop {
        let page = node.provider.store.clients(after, PAGE).await?;
        for one in &page {
            if let ControlFlow::Break(()) = lines.write(&client::value(one, None)).map_err(failed)? {
                return Ok(());
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key),
            _ => return lines.end().map_err(failed),
        }
    }
}

pub(super) async fn users(node: &Node) -> Result<(), CommandFailure> {
    let (mut lines, mut after) = (NdjsonWriter::begin(), None);
    loop {
        let page = node.provider.store.users(after, PAGE).await?;
        for one in &page {
            if let ControlFlow::Break(()) = lines.write(&user::value(one)).map_err(failed)? {
                return Ok(());
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.id),
            _ => return lines.end().map_err(failed),
        }
    }
}

fn failed(error: std::io::Error) -> CommandFailure {
    CommandFailure::failed(format!("the export is not complete, it could not be written: {error}"))
}
