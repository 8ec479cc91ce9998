// A chat room on Socket.IO as its documentation shows it, traced by OpenTelemetry's own instrumentation of http and
// socket.io: every span sampled, batched and exported by OTLP to where OTEL_EXPORTER_OTLP_ENDPOINT says. It stores
// nothing and writes no log.
'use strict';

const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { SocketIoInstrumentation } = require('@opentelemetry/instrumentation-socket.io');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const provider = new NodeTracerProvider({
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
registerInstrumentations({
  tracerProvider: provider,
  instrumentations: [new HttpInstrumentation(), new SocketIoInstrumentation()],
});

// These come after the instrumentation, which replaces parts of them as they are loaded.
const { createServer } = require('node:http');
const { randomUUID } = require('node:crypto');
const { Server } = require('socket.io');

const http = createServer();
const io = new Server(http, { serveClient: false });

io.on('connection', (socket) => {
  socket.on('join', ({ user_id, chatroom_id }) => {
    socket.data.user_id = user_id;
    socket.join(chatroom_id);
    socket.emit('joined', { chatroom_id });
  });
  socket.on('message', ({ chatroom_id, message_text }) => {
    const now = new Date().toISOString();
    io.to(chatroom_id).emit('new_message', {
      id: randomUUID(),
      message_text,
      user_id: socket.data.user_id,
      chatroom_id,
      is_reply: false,
      parent_message_id: null,
      created_date: now,
      last_updated_date: now,
    });
  });
});

http.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'listening', addr: `127.0.0.1:${http.address().port}` }));
});

process.on('SIGTERM', async () => {
  await provider.shutdown();
  process.exit(0);
});
