//! A real browser: headless Chromium through chromedriver.

#[path = "../http/app.rs"]
#[allow(dead_code)]
mod app;
#[path = "../cli/behind_proxy.rs"]
#[allow(dead_code)]
mod behind_proxy;
#[path = "../http/browser.rs"]
#[allow(dead_code)]
mod browser;
mod flow;
mod look;
mod nodes;
#[path = "../cli/process.rs"]
#[allow(dead_code)]
mod process;
mod scripts;
#[path = "../servers/mod.rs"]
mod servers;
mod site;
mod webdriver;
