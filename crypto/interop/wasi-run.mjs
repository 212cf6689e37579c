#!/usr/bin/env node
// Runs a test binary that was built for wasm32-wasip1, under node:
//   CARGO_TARGET_WASM32_WASIP1_RUNNER="node crypto/interop/wasi-run.mjs" \
//     cargo test --package posthouse-crypto --lib --target wasm32-wasip1
import fs from 'node:fs';
import { WASI } from 'node:wasi';

const [, , program, ...args] = process.argv;
// Snapshots are compared, never written: a browser has no files either.
const env = { ...process.env, INSTA_UPDATE: "no", INSTA_WORKSPACE_ROOT: process.cwd() };
const wasi = new WASI({ version: 'preview1', args: [program, ...args], env, preopens: { '/': '/' }, returnOnExit: true });
const module = await WebAssembly.compile(fs.readFileSync(program));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
