// toxiproxy-node-client, its own methods one after the other: the API, and what gives back what comes.
const assert = require("node:assert");
const net = require("node:net");
const { Toxiproxy } = require("toxiproxy-node-client");

const [api, upstream] = process.argv.slice(2);

const connect = (proxy) => new Promise((done, failed) => {
  const port = Number(proxy.listen.split(":").pop());
  const stream = net.connect(port, "127.0.0.1", () => done(stream));
  stream.on("error", failed);
});

const echoed = (stream) => new Promise((done, failed) => {
  const began = performance.now();
  stream.once("data", (data) => (String(data) === "hello" ? done(performance.now() - began) : failed(data)));
  stream.write("hello");
});

(async () => {
  const server = new Toxiproxy(api);
  assert.match(await server.getVersion(), /"version": "2\./);
  const proxy = await server.createProxy({ name: "redis", listen: "localhost:0", upstream });
  assert.match(proxy.listen, /^127\.0\.0\.1:[1-9]/);
  assert.strictEqual(proxy.enabled, true);
  await assert.rejects(server.createProxy({ name: "redis", listen: "localhost:0", upstream }), /409/);
  await assert.rejects(server.get("none"), /404/);
  assert.deepStrictEqual(Object.keys(await server.getAll()), ["redis"]);
  assert.deepStrictEqual((await server.get("redis")).toJson(), proxy.toJson());

  const stream = await connect(proxy);
  await echoed(stream);
  const toxic = await proxy.addToxic({ type: "latency", attributes: { latency: 300, jitter: 0 } });
  assert.deepStrictEqual(toxic.toJson(), {
    attributes: { latency: 300, jitter: 0 },
    name: "latency_downstream",
    stream: "downstream",
    toxicity: 1,
    type: "latency",
  });
  assert(await echoed(stream) >= 299);
  const changed = await toxic.update({ toxicity: 0.25, attributes: { latency: 1 } });
  assert.deepStrictEqual([changed.toxicity, changed.attributes], [0.25, { latency: 1, jitter: 0 }]);
  assert.deepStrictEqual((await proxy.getToxic("latency_downstream")).toJson(), changed.toJson());
  await toxic.remove();
  await assert.rejects(proxy.getToxic("latency_downstream"), /404/);
  await assert.rejects(proxy.addToxic({ type: "nothing", attributes: {} }), /400/);
  await echoed(stream);

  const ended = new Promise((done) => stream.once("close", done));
  const down = await proxy.update({ enabled: false, listen: proxy.listen, upstream });
  assert.strictEqual(down.enabled, false);
  await ended;
  await assert.rejects(connect(proxy), /ECONNREFUSED/);
  await server.reset();
  const again = await connect(proxy);
  await echoed(again);
  again.destroy();

  const made = await server.populate([
    { name: "redis", listen: proxy.listen, upstream },
    { name: "other", listen: "localhost:0", upstream },
  ]);
  assert.deepStrictEqual(Object.keys(made), ["redis", "other"]);
  await made.other.remove();
  await made.redis.remove();
  assert.deepStrictEqual(await server.getAll(), {});
  console.log("good");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
