-- Tries `ister lsp` in Neovim: 0.7 (Debian 12) and, the same file, 0.11.
--
-- Run: ISTER=/path/to/ister nvim --headless -u NONE -i NONE -c 'luafile nvim.lua'
--
-- Prints `ok: NAME` for each check. If one fails, the others still run, and the exit code is 1.

local ister = os.getenv 'ISTER' or 'ister'
local patience = 5000 -- ms

local text = [[
{
    "DestinationType": "virtual",
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linxu" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ],
    "SoftwareManager": "apt",
    "Version": "bookworm", "PostChroot": ["/usr/sbin/useradd ada"],
    "Bundles": ["bootloader", "kernel-kvm", "openssh-server", "os-core", "os-core-update"],
    "$comment": "äß😀", "Hostnam": "kvm"
}
]]

local function say(line)
  io.stdout:write(line .. '\n')
end

local function want(condition, message)
  if not condition then
    error(message, 0)
  end
end

-- Attaches the server to the current buffer as a user's configuration does. It is text because it runs in two editors.
local attach = [[
  local ister = ...
  local root = vim.fn.expand '%:p:h'
  if vim.lsp.config then
    vim.lsp.config('ister', { cmd = { ister, 'lsp' }, filetypes = { 'json' }, root_dir = root })
    vim.lsp.enable 'ister'
    vim.bo.filetype = 'json'
  else
    vim.bo.filetype = 'json'
    local id = vim.lsp.start_client { name = 'ister', cmd = { ister, 'lsp' }, root_dir = root }
    vim.lsp.buf_attach_client(0, id)
  end
]]

local function client_of(buffer)
  local get = vim.lsp.get_clients or function(filter)
    return vim.tbl_values(vim.lsp.buf_get_clients(filter.bufnr))
  end
  return get({ bufnr = buffer })[1]
end

-- The diagnostics, in the order of their lines, once there are so many.
local function diagnostics(buffer, count)
  vim.wait(patience, function()
    return #vim.diagnostic.get(buffer) == count
  end, 10)
  local found = vim.diagnostic.get(buffer)
  table.sort(found, function(a, b)
    return a.lnum < b.lnum
  end)
  want(#found == count, ('expected %d diagnostics, found %s'):format(count, vim.inspect(found)))
  return found
end

local function lines(buffer)
  return vim.api.nvim_buf_get_lines(buffer, 0, -1, true)
end

-- Puts the cursor on the first place of a plain text.
local function go_to(buffer, word, shift)
  for number, line in ipairs(lines(buffer)) do
    local column = line:find(word, 1, true)
    if column then
      vim.api.nvim_win_set_cursor(0, { number, column - 1 + (shift or 0) })
      return
    end
  end
  error(word .. ' is not in the buffer', 0)
end

-- The answer to a request at the cursor.
local function ask(buffer, method, more)
  local params = vim.lsp.util.make_position_params(0, client_of(buffer).offset_encoding)
  params = vim.tbl_extend('force', params, more or {})
  local answers = vim.lsp.buf_request_sync(buffer, method, params, patience)
  local _, answer = next(answers or {})
  want(answer, method .. ' has no answer')
  want(not (answer.error or answer.err), method .. ': ' .. vim.inspect(answer))
  return answer.result
end

-- What a line becomes by typing keys on it, asking for completion, and taking the nth offer. In an editor of its own:
-- this one runs a script, and reads no keys.
local function typed(line, keys, nth)
  local options = { rpc = true }
  local editor = vim.fn.jobstart({ vim.v.progpath, '--embed', '--headless', '-u', 'NONE', '-i', 'NONE' }, options)
  local function lua(code, ...)
    return vim.rpcrequest(editor, 'nvim_exec_lua', code, { ... })
  end
  local function wait(what, code)
    local there = vim.wait(patience, function()
      return lua(code)
    end, 20)
    want(there, what)
  end
  local content = text:gsub('linxu', 'linux'):gsub('Hostnam"', 'Hostname"')
  local path = vim.fn.tempname() .. '.json'
  vim.fn.writefile(vim.split(content, '\n', { trimempty = true }), path)
  lua('vim.cmd("edit " .. vim.fn.fnameescape(...))', path)
  lua(attach, ister)
  lua([[
    vim.bo.omnifunc = 'v:lua.vim.lsp.omnifunc'
    vim.o.completeopt = 'menuone,noselect'
    vim.api.nvim_win_set_cursor(0, { 5, 0 })
    vim.api.nvim_set_current_line(...)
  ]], line)
  -- 0.11 fills in snippets only if its own completion is on.
  if vim.lsp.completion then
    lua [[
      vim.wait(1000, function() return #vim.lsp.get_clients { bufnr = 0 } > 0 end, 10)
      vim.lsp.completion.enable(true, vim.lsp.get_clients({ bufnr = 0 })[1].id, 0)
    ]]
  end
  wait('the server does not answer', [[
    local params = vim.lsp.util.make_position_params(0, 'utf-16')
    return not vim.tbl_isempty(vim.lsp.buf_request_sync(0, 'textDocument/hover', params, 1000) or {})
  ]])
  vim.rpcrequest(editor, 'nvim_input', keys .. '<C-x><C-o>')
  wait('no menu comes up after ' .. keys, 'return vim.fn.pumvisible() == 1')
  vim.rpcrequest(editor, 'nvim_input', ('<C-n>'):rep(nth) .. '<C-y>')
  wait('the menu stays', 'return vim.fn.pumvisible() == 0')
  vim.rpcrequest(editor, 'nvim_input', '<Esc>')
  wait('still inserting', 'return vim.fn.mode() == "n"')
  local result = lua 'return vim.api.nvim_get_current_line()'
  vim.fn.jobstop(editor)
  return result
end

local checks = {
  {
    'attach',
    function(buffer)
      loadstring(attach)(ister)
      local ready = vim.wait(patience, function()
        local client = client_of(buffer)
        return client and (client.initialized or client.server_capabilities)
      end, 10)
      want(ready, 'no server came up')
    end,
  },
  {
    'diagnostics',
    function(buffer)
      local found = diagnostics(buffer, 2)
      want(found[1].lnum == 4 and found[1].code == 'unknown-value', vim.inspect(found[1]))
      want(found[1].message:find('did you mean `linux`?', 1, true), found[1].message)
      want(found[2].lnum == 17 and found[2].code == 'misspelt-key', vim.inspect(found[2]))
      -- Columns are bytes here, whatever was spoken on the wire.
      local line = lines(buffer)[18]
      want(line:sub(found[2].col + 1, found[2].end_col) == '"Hostnam"', vim.inspect(found[2]))
      want(found[2].source == 'ister' and found[2].severity == vim.diagnostic.severity.ERROR, vim.inspect(found[2]))
    end,
  },
  {
    'hover',
    function(buffer)
      go_to(buffer, '"partition": 1', 1)
      local hover = ask(buffer, 'textDocument/hover')
      want(hover.contents.value:find('2048 to 1050623', 1, true), vim.inspect(hover))
    end,
  },
  {
    'completion',
    function(buffer)
      go_to(buffer, '"linxu"', 1)
      local labels = vim.tbl_map(function(item)
        return item.label
      end, ask(buffer, 'textDocument/completion'))
      want(vim.deep_equal(labels, { 'EFI', 'linux', 'swap' }), vim.inspect(labels))
    end,
  },
  {
    'code action',
    function(buffer)
      go_to(buffer, '"linxu"', 1)
      local place = vim.lsp.util.make_range_params(0, client_of(buffer).offset_encoding)
      local actions = ask(buffer, 'textDocument/codeAction', {
        range = place.range,
        context = { diagnostics = {} },
      })
      want(#actions == 1 and actions[1].kind == 'quickfix', vim.inspect(actions))
      vim.lsp.util.apply_workspace_edit(actions[1].edit, client_of(buffer).offset_encoding)
      local found = diagnostics(buffer, 1)
      want(found[1].code == 'misspelt-key', vim.inspect(found))
    end,
  },
  {
    'code action through the menu, behind non-ASCII characters',
    function(buffer)
      local offered
      vim.ui.select = function(items, options, choose)
        offered = options.format_item(items[1])
        choose(items[1], 1)
      end
      go_to(buffer, '"Hostnam"', 1)
      vim.lsp.buf.code_action()
      diagnostics(buffer, 0)
      want(offered and offered:find('Hostname', 1, true), vim.inspect(offered))
      want(lines(buffer)[18]:find('"äß😀", "Hostname": "kvm"', 1, true), lines(buffer)[18])
    end,
  },
  {
    'definition and references',
    function(buffer)
      go_to(buffer, '"mount": "/boot"', 11)
      local found = ask(buffer, 'textDocument/definition')
      want(found.range.start.line == 3, vim.inspect(found))
      local places = ask(buffer, 'textDocument/references', { context = { includeDeclaration = true } })
      want(#places == 3, vim.inspect(places))
    end,
  },
  {
    'symbols',
    function(buffer)
      local symbols = ask(buffer, 'textDocument/documentSymbol')
      local items = vim.lsp.util.symbols_to_items(symbols, buffer, client_of(buffer).offset_encoding)
      want(#items > #symbols and items[1].text:find 'DestinationType', vim.inspect(items))
    end,
  },
  {
    'formatting',
    function(buffer)
      local before = lines(buffer)
      -- Another indentation, and the last line's two members on lines of their own.
      vim.cmd [[silent %s/^ \+/  /]]
      if vim.lsp.buf.formatting_sync then
        vim.lsp.buf.formatting_sync(nil, patience)
      else
        vim.lsp.buf.format { timeout_ms = patience }
      end
      local expected = vim.fn.systemlist({ ister, 'fmt', '-' }, before)
      want(vim.v.shell_error == 0, 'ister fmt failed')
      want(vim.deep_equal(lines(buffer), expected), table.concat(lines(buffer), '\n'))
      diagnostics(buffer, 0)
    end,
  },
  {
    'rename',
    function(buffer)
      go_to(buffer, '"kvm.img"', 2)
      vim.lsp.buf.rename 'cloud.img'
      vim.wait(patience, function()
        return not table.concat(lines(buffer)):find('kvm.img', 1, true)
      end, 10)
      local _, count = table.concat(lines(buffer)):gsub('"cloud%.img"', '')
      want(count == 6, table.concat(lines(buffer), '\n'))
    end,
  },
  {
    'completion while typing a value',
    function()
      local line = '        { "disk": "kvm.img", "partition": 2, "size": "8G", "type":  }'
      for _, begun in ipairs { '', '"', '"lin' } do
        local result = typed(line, '$hi' .. begun, begun == '"lin' and 1 or 2)
        want(result == (line:gsub('type":  }', 'type": "linux" }')), result)
      end
    end,
  },
  {
    'completion while typing a value between two quotes',
    function()
      -- As plugins leave it that pair quotes.
      local line = '        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "" }'
      local result = typed(line, '$hhilin', 1)
      want(result == (line:gsub('""', '"linux"')), result)
    end,
  },
  {
    'completion while typing a key',
    function()
      local line = '        { "disk": "kvm.img", "partition": 2, "type": "linux",  }'
      for _, begun in ipairs { '', '"', '"si' } do
        local result = typed(line, '$hi' .. begun, 1)
        want(result:find('"linux", "size": ', 1, true), result)
      end
    end,
  },
  {
    'the server ends with the editor',
    function(buffer)
      local client = client_of(buffer)
      vim.lsp.stop_client(client.id)
      local ended = vim.wait(patience, function()
        return vim.lsp.get_client_by_id(client.id) == nil
      end, 10)
      want(ended, 'it did not end')
    end,
  },
}

local function main()
  local directory = vim.fn.tempname()
  vim.fn.mkdir(directory, 'p')
  local path = directory .. '/template.json'
  vim.fn.writefile(vim.split(text, '\n', { trimempty = true }), path)
  vim.cmd('edit ' .. vim.fn.fnameescape(path))
  local buffer = vim.api.nvim_get_current_buf()
  local failed = false
  for _, check in ipairs(checks) do
    local name, run = check[1], check[2]
    local ok, message = xpcall(run, function(problem)
      return type(problem) == 'string' and problem or vim.inspect(problem)
    end, buffer)
    if ok then
      say('ok: ' .. name)
    else
      failed = true
      io.stderr:write(('failed: %s: %s\n'):format(name, message))
    end
  end
  vim.cmd(failed and 'cquit 1' or 'qall!')
end

main()
