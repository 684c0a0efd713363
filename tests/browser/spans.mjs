// Requests of a service that is called as somebody likes, sent to a collector as any OTLP client does.

/** Sends `count` requests that ended `ago` seconds ago. */
export async function send(url, service, operation, count, ago) {
  const end = BigInt(Date.now() - ago * 1000) * 1000000n;
  const hex = (digits) => Array.from({ length: digits }, () => Math.floor(Math.random() * 16).toString(16)).join('');
  const spans = Array.from({ length: count }, () => ({
    traceId: hex(32),
    spanId: hex(16),
    name: operation,
    kind: 2,
    startTimeUnixNano: String(end - 5000000n),
    endTimeUnixNano: String(end),
    attributes: [{ key: 'http.request.method', value: { stringValue: 'GET' } },
      { key: 'http.route', value: { stringValue: operation } }],
  }));
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: service } },
    { key: 'service.instance.id', value: { stringValue: `${service}-1` } }] };
  const answer = await fetch(`${url}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'test' }, spans }] }] }),
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
}
