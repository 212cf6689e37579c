'use strict';
// Shows the two documents of this server. Everything is put in as text, never as markup.

const make = (name, attributes, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== ''));
  return element;
};

// The little that descriptions use of Markdown: paragraphs, lists, and code in backticks.
const inline = (text) => text.split('`').map((part, at) => (at % 2 ? make('code', null, part) : part));
const prose = (text) => {
  const out = [];
  for (const block of String(text || '').trim().split(/\n{2,}/)) {
    const lines = block.split('\n');
    const items = lines.filter((line) => line.startsWith('* '));
    const rest = lines.filter((line) => !line.startsWith('* ')).join(' ');
    if (rest) out.push(make('p', null, ...inline(rest)));
    if (items.length) out.push(make('ul', null, ...items.map((line) => make('li', null, ...inline(line.slice(2))))));
  }
  return out;
};
const json = (value) => make('pre', { tabindex: 0 }, make('code', null, JSON.stringify(value, null, 2)));
const anchor = (...parts) => parts.join('-').replace(/[^A-Za-z0-9]+/g, '-').toLowerCase();

// ---- schemas ---------------------------------------------------------------------------------

const nameOf = (reference) => reference.split('/').pop();
const link = (scope, reference) =>
  make('a', { href: '#' + anchor('schema', scope, nameOf(reference)) }, nameOf(reference));

const type = (schema, scope) => {
  if (schema === true || !schema) return ['anything'];
  if (schema.$ref) return [link(scope, schema.$ref)];
  const choices = schema.anyOf || (schema.properties ? undefined : schema.oneOf);
  if (choices && choices.every((one) => one.const !== undefined)) {
    return [choices.map((one) => JSON.stringify(one.const)).join(' | ')];
  }
  if (choices) return choices.flatMap((one, at) => (at ? [' or ', ...type(one, scope)] : type(one, scope)));
  if (schema.allOf) return type(schema.allOf[0], scope);
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.enum) return [schema.enum.map((one) => JSON.stringify(one)).join(' | ')];
  if (schema.items) return ['array of ', ...type(schema.items, scope)];
  return [[].concat(schema.type || 'anything').join(' or ')];
};

const bounds = (schema) => {
  const named = {
    minLength: 'at least characters', maxLength: 'at most characters', minItems: 'at least entries',
    maxItems: 'at most entries', minimum: 'from', maximum: 'to', default: 'default',
    contentEncoding: 'in', format: 'format', pattern: 'form',
  };
  return Object.entries(named).filter(([key]) => schema && schema[key] !== undefined)
    .map(([key, words]) => `${words} ${typeof schema[key] === 'object' ? JSON.stringify(schema[key]) : schema[key]}`);
};

const members = (schema, scope) => {
  const rows = Object.entries(schema.properties || {}).map(([name, one]) => {
    const needed = (schema.required || []).includes(name);
    const limits = bounds(one);
    return make('tr', null,
      make('td', null, make('code', null, name), needed ? make('div', { class: 'needed' }, 'required') : ''),
      make('td', null, ...type(one, scope), limits.length ? make('div', { class: 'dim' }, limits.join(', ')) : ''),
      make('td', null, ...prose(one.description)));
  });
  if (!rows.length) return '';
  const head = make('thead', null, make('tr', null, ...['member', 'type', 'meaning'].map((text) => make('th', { scope: 'col' }, text))));
  return make('div', { class: 'scroll' }, make('table', null, head, make('tbody', null, ...rows)));
};

const shown = (schema, scope) => {
  if (!schema || typeof schema !== 'object') return [make('p', null, 'Anything.')];
  const out = prose(schema.description);
  if (schema.properties) {
    out.push(members(schema, scope));
    const one = (schema.oneOf || []).filter((choice) => choice.required).map((choice) => choice.required.join(' and '));
    if (one.length) out.push(make('p', null, 'Exactly one of: ', ...inline(one.map((name) => '`' + name + '`').join(', ')), '.'));
    return out;
  }
  if ((schema.oneOf || []).some((one) => one.const !== undefined)) {
    out.push(make('ul', null, ...schema.oneOf.map((one) => make('li', null, make('code', null, JSON.stringify(one.const)), ' ', ...inline(one.description || '')))));
    return out;
  }
  out.push(make('p', null, ...type(schema, scope)));
  const limits = bounds(schema);
  if (limits.length) out.push(make('p', { class: 'dim' }, limits.join(', ')));
  if (schema.examples) out.push(json(schema.examples.length === 1 ? schema.examples[0] : schema.examples));
  return out;
};

// ---- calls -----------------------------------------------------------------------------------

const content = (media, scope) => Object.entries(media || {}).flatMap(([kind, one]) => {
  const out = [make('p', null, make('code', null, kind), ' ', ...type(one.schema, scope))];
  if (one.example !== undefined) out.push(json(one.example));
  return out;
});

const who = (security) => {
  if (!security.length) return 'Anyone may call.';
  return security.some((one) => one.ticket)
    ? 'Asks for an access token or a ticket.' : 'Asks for an access token (`Authorization: Bearer`).';
};

const call = (method, path, operation) => {
  const body = [...prose(operation.description), ...prose(who(operation.security))];
  for (const limit of operation['x-rate-limits'] || []) {
    body.push(make('p', { class: 'dim' }, `Limit by ${limit.by}: ${limit.burst} at once, one more after ${limit.one_more_after_seconds} s.`));
  }
  if (operation.parameters) {
    const rows = operation.parameters.map((one) => make('tr', null,
      make('td', null, make('code', null, one.name), one.required ? make('div', { class: 'needed' }, 'required') : ''),
      make('td', null, one.in, ', ', ...type(one.schema, 'calls'), make('div', { class: 'dim' }, bounds(one.schema).join(', '))),
      make('td', null, ...prose(one.description), make('code', null, String(one.example)))));
    body.push(make('h3', null, 'Parameters'), make('div', { class: 'scroll' }, make('table', null, make('tbody', null, ...rows))));
  }
  if (operation.requestBody) {
    body.push(make('h3', null, 'Request body'), ...prose(operation.requestBody.description), ...content(operation.requestBody.content, 'calls'));
  }
  body.push(make('h3', null, 'Answers'));
  for (const [status, answer] of Object.entries(operation.responses)) {
    const refused = Number(status) >= 400;
    body.push(make('div', null, make('strong', null, status), ...prose(answer.description),
      ...(refused ? [] : content(answer.content, 'calls'))));
  }
  return entry(anchor(method, path), method, path, operation.summary, body);
};

const entry = (id, mark, name, title, body) => {
  const summary = make('summary', null, make('span', { class: 'method ' + mark }, mark.toUpperCase()), ' ',
    make('code', null, name), make('span', { class: 'title' }, title || ''));
  const details = make('details', { id }, summary, make('div', { class: 'body' }, ...body));
  details.dataset.words = [mark, name, title].join(' ').toLowerCase();
  return details;
};

// ---- the page --------------------------------------------------------------------------------

const main = document.getElementById('main');
const contents = document.getElementById('contents');

const section = (title, introduction, entries) => {
  const list = make('ul', null, ...entries.map((one) => {
    const [mark, name] = ['.method', 'code'].map((part) => one.querySelector('summary ' + part));
    const kind = ['FRAME', 'SCHEMA'].includes(mark.textContent) ? '' : mark.cloneNode(true);
    const item = make('li', null, make('a', { href: '#' + one.id }, kind, name.textContent));
    item.dataset.of = one.id;
    return item;
  }));
  contents.append(make('section', null, make('h2', null, title), list));
  main.append(make('section', null, make('h2', { id: anchor('part', title) }, title), ...prose(introduction), ...entries));
};

const schemas = (title, scope, all) => section(title, '', Object.entries(all).map(([name, schema]) =>
  entry(anchor('schema', scope, name), 'schema', name, '', shown(schema, scope))));

const show = (calls, socket) => {
  main.append(...prose(calls.info.description));
  for (const tag of calls.tags) {
    const entries = [];
    for (const [path, item] of Object.entries(calls.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (operation.tags.includes(tag.name)) entries.push(call(method, path, operation));
      }
    }
    section(tag.name, tag.description, entries);
  }
  section('socket', socket.info.description + '\n\n' + socket.channels.socket.description, []);
  for (const [action, title] of [['receive', 'frames from the client'], ['send', 'frames from the server']]) {
    const entries = Object.values(socket.operations).filter((one) => one.action === action).map((one) => {
      const name = nameOf(one.messages[0].$ref);
      const message = socket.components.messages[name];
      const schema = socket.components.schemas[nameOf(message.payload.$ref)];
      const replies = (one.reply ? one.reply.messages : []).map((reply) => nameOf(reply.$ref));
      const body = shown(schema, 'frames');
      if (replies.length) body.push(make('p', null, 'Answered with ' + replies.join(' or ') + '.'));
      body.push(make('h3', null, 'Examples'), ...message.examples.map((example) => json(example.payload)));
      return entry(anchor('frame', name), 'frame', name, `${message.name}: ${message.title}`, body);
    });
    section(title, '', entries);
  }
  schemas('schemas of calls', 'calls', calls.components.schemas);
  schemas('schemas of frames', 'frames', socket.components.schemas);
};

const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || target.tagName !== 'DETAILS') return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector('summary').focus({ preventScroll: true });
};

const filter = document.getElementById('filter');
filter.addEventListener('input', () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const one of main.querySelectorAll('details')) {
    const fits = words.every((word) => one.dataset.words.includes(word));
    one.hidden = !fits;
    contents.querySelector(`li[data-of="${one.id}"]`).hidden = !fits;
    found += fits ? 1 : 0;
  }
  for (const one of [...main.querySelectorAll('section'), ...contents.querySelectorAll('section')]) {
    one.hidden = words.length > 0 && !one.querySelector('details:not([hidden]), li[data-of]:not([hidden])');
  }
  document.getElementById('found').textContent = words.length ? `${found} found` : '';
});
addEventListener('hashchange', open);

const read = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
};
Promise.all([read('/v1/openapi.json'), read('/v1/asyncapi.json')]).then(([calls, socket]) => {
  document.getElementById('state').remove();
  show(calls, socket);
  open();
}).catch((error) => {
  document.getElementById('state').textContent = 'The documents cannot be read: ' + error.message;
});
