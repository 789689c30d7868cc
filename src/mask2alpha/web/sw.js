/*
 * Keeps the files of the page without a service, which then works offline, and adds the headers that isolate the page:
 * the engine needs them for its threads. `mask2alpha page` puts VERSION, FILES and POLICY in front of this.
 */

const NAME = `mask2alpha-${VERSION}`;
const HEADERS = {
  "Content-Security-Policy": POLICY,
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
};

async function keep() {
  const cache = await caches.open(NAME);
  await cache.addAll(FILES);
  await self.skipWaiting();
}

async function forgetOlder() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith("mask2alpha-") && name !== NAME).map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function answer(request) {
  const address = new URL(request.url);
  if (address.origin !== self.location.origin) return Response.error();
  const wanted = request.mode === "navigate" ? "index.html" : request;
  const found = (await (await caches.open(NAME)).match(wanted, { ignoreSearch: true })) ?? (await fetch(request));
  if (!found.ok) return found;
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(found.body, { status: found.status, headers });
}

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOlder()));
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith("http")) event.respondWith(answer(event.request));
});
