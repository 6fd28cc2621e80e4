#include "proto/method.h"

/* Classes of Codex 0.169's methods. Reads are shared, as is all that is not named here. Sorted by
 * name (checked by a test). */
static const struct method methods[] = {
    {"account/bedrock/setup", METHOD_GLOBAL, METHOD_STATE},
    {"account/gatewayOAuth/cancel", METHOD_GLOBAL, 0},
    {"account/gatewayOAuth/login", METHOD_GLOBAL, METHOD_STATE},
    {"account/gcp/setup", METHOD_GLOBAL, METHOD_STATE},
    {"account/login/cancel", METHOD_GLOBAL, 0},
    {"account/login/start", METHOD_GLOBAL, METHOD_STATE},
    {"account/logout", METHOD_GLOBAL, METHOD_STATE},
    {"account/rateLimitResetCredit/consume", METHOD_GLOBAL, 0},
    {"account/sendAddCreditsNudgeEmail", METHOD_GLOBAL, 0},
    {"accountSession/switch", METHOD_GLOBAL, METHOD_STATE},
    {"command/exec", METHOD_STREAM, METHOD_EXEC},
    {"command/exec/resize", METHOD_FOLLOW, METHOD_EXEC},
    {"command/exec/terminate", METHOD_FOLLOW, METHOD_EXEC},
    {"command/exec/write", METHOD_FOLLOW, METHOD_EXEC},
    {"config/batchWrite", METHOD_GLOBAL, METHOD_STATE},
    {"config/mcpServer/reload", METHOD_GLOBAL, METHOD_STATE},
    {"config/value/write", METHOD_GLOBAL, METHOD_STATE},
    {"environment/add", METHOD_GLOBAL, METHOD_STATE},
    {"experimentalFeature/enablement/set", METHOD_GLOBAL, METHOD_STATE},
    {"externalAgentConfig/import", METHOD_GLOBAL, METHOD_STATE},
    {"externalAgentConfig/import/recordHistory", METHOD_GLOBAL, 0},
    {"feedback/save", METHOD_GLOBAL, 0},
    {"feedback/upload", METHOD_GLOBAL, 0},
    {"fs/copy", METHOD_GLOBAL, 0},
    {"fs/createDirectory", METHOD_GLOBAL, 0},
    {"fs/remove", METHOD_GLOBAL, 0},
    {"fs/unwatch", METHOD_FOLLOW, 0},
    {"fs/watch", METHOD_PINNED, 0},
    {"fs/writeFile", METHOD_GLOBAL, 0},
    {"fuzzyFileSearch/sessionStart", METHOD_PINNED, 0},
    {"fuzzyFileSearch/sessionStop", METHOD_FOLLOW, 0},
    {"fuzzyFileSearch/sessionUpdate", METHOD_FOLLOW, 0},
    {"initialize", METHOD_INITIALIZE, 0},
    {"marketplace/add", METHOD_GLOBAL, METHOD_STATE},
    {"marketplace/remove", METHOD_GLOBAL, METHOD_STATE},
    {"marketplace/upgrade", METHOD_GLOBAL, METHOD_STATE},
    {"mcpServer/event/stream/start", METHOD_PINNED, 0},
    {"mcpServer/event/stream/stop", METHOD_FOLLOW, 0},
    {"mcpServer/oauth/login", METHOD_GLOBAL, METHOD_STATE},
    {"mcpServer/tool/call", METHOD_STREAM, 0},
    {"memory/reset", METHOD_GLOBAL, METHOD_STATE},
    {"modelProvider/config/write", METHOD_GLOBAL, METHOD_STATE},
    {"plugin/install", METHOD_GLOBAL, METHOD_STATE},
    {"plugin/reconcile", METHOD_GLOBAL, METHOD_STATE},
    {"plugin/share/checkout", METHOD_GLOBAL, METHOD_STATE},
    {"plugin/share/delete", METHOD_GLOBAL, 0},
    {"plugin/share/save", METHOD_GLOBAL, 0},
    {"plugin/share/updateTargets", METHOD_GLOBAL, 0},
    {"plugin/uninstall", METHOD_GLOBAL, METHOD_STATE},
    {"process/kill", METHOD_FOLLOW, 0},
    {"process/resizePty", METHOD_FOLLOW, 0},
    {"process/spawn", METHOD_PINNED, 0},
    {"process/writeStdin", METHOD_FOLLOW, 0},
    {"project/create", METHOD_GLOBAL, 0},
    {"project/delete", METHOD_GLOBAL, 0},
    {"project/import", METHOD_GLOBAL, 0},
    {"project/move", METHOD_GLOBAL, 0},
    {"project/update", METHOD_GLOBAL, 0},
    {"remoteControl/client/revoke", METHOD_GLOBAL, METHOD_STATE},
    {"remoteControl/disable", METHOD_GLOBAL, METHOD_STATE},
    {"remoteControl/enable", METHOD_GLOBAL, METHOD_STATE},
    {"remoteControl/pairing/start", METHOD_GLOBAL, 0},
    {"review/start", METHOD_STREAM, METHOD_PROMISES},
    {"rollout/compress", METHOD_GLOBAL, 0},
    {"skills/config/write", METHOD_GLOBAL, METHOD_STATE},
    {"skills/extraRoots/set", METHOD_GLOBAL, METHOD_STATE},
    {"thread/approveGuardianDeniedAction", METHOD_OWNER, METHOD_MEMORY},
    {"thread/archive", METHOD_OWNER, METHOD_ENDS | METHOD_LOCKS},
    {"thread/attachment/add", METHOD_OWNER, 0},
    {"thread/attachment/remove", METHOD_OWNER, 0},
    {"thread/backgroundTerminals/clean", METHOD_OWNER, METHOD_SUBSCRIBER},
    {"thread/backgroundTerminals/list", METHOD_OWNER, METHOD_SUBSCRIBER},
    {"thread/backgroundTerminals/terminate", METHOD_OWNER, METHOD_SUBSCRIBER},
    {"thread/compact/start", METHOD_STREAM, METHOD_PROMISES},
    {"thread/decrement_elicitation", METHOD_OWNER, 0},
    {"thread/delete", METHOD_OWNER, METHOD_ENDS | METHOD_LOCKS},
    {"thread/fork", METHOD_STREAM, METHOD_OPENS | METHOD_LOCKS},
    {"thread/goal/clear", METHOD_OWNER, 0},
    {"thread/goal/set", METHOD_STREAM, METHOD_GOAL | METHOD_PERSISTS},
    {"thread/guardianReview", METHOD_STREAM, 0},
    {"thread/increment_elicitation", METHOD_OWNER, METHOD_MEMORY},
    {"thread/inject_items", METHOD_OWNER, METHOD_PERSISTS},
    {"thread/loaded/list", METHOD_LOADED, 0},
    {"thread/memoryMode/set", METHOD_OWNER, 0},
    {"thread/metadata/update", METHOD_OWNER, 0},
    {"thread/name/set", METHOD_OWNER, METHOD_PERSISTS},
    {"thread/prediction/request", METHOD_STREAM, 0},
    {"thread/prepareApprovedPlan", METHOD_STREAM, 0},
    {"thread/queue/add", METHOD_STREAM, METHOD_QUEUE | METHOD_PERSISTS},
    {"thread/queue/delete", METHOD_OWNER, 0},
    {"thread/queue/reorder", METHOD_OWNER, 0},
    {"thread/queue/start", METHOD_STREAM, METHOD_QUEUE},
    {"thread/queue/update", METHOD_OWNER, 0},
    {"thread/readState/update", METHOD_OWNER, 0},
    {"thread/realtime/appendAudio", METHOD_OWNER, 0},
    {"thread/realtime/appendSpeech", METHOD_OWNER, 0},
    {"thread/realtime/appendText", METHOD_OWNER, 0},
    {"thread/realtime/start", METHOD_PINNED, METHOD_MEMORY},
    {"thread/realtime/stop", METHOD_OWNER, 0},
    {"thread/resume", METHOD_STREAM, METHOD_OPENS | METHOD_RESUME | METHOD_LOCKS},
    {"thread/revert", METHOD_STREAM, 0},
    {"thread/sample", METHOD_STREAM, 0},
    {"thread/sample/cancel", METHOD_OWNER, 0},
    {"thread/section/move", METHOD_OWNER, 0},
    {"thread/settings/update", METHOD_OWNER, 0},
    {"thread/shellCommand", METHOD_STREAM, METHOD_PROMISES},
    {"thread/start", METHOD_STREAM, METHOD_OPENS},
    {"thread/unarchive", METHOD_OWNER, 0},
    {"thread/unsubscribe", METHOD_OWNER, METHOD_SUBSCRIBER | METHOD_UNSUBSCRIBE},
    {"threadSection/create", METHOD_GLOBAL, 0},
    {"threadSection/delete", METHOD_GLOBAL, 0},
    {"threadSection/update", METHOD_GLOBAL, 0},
    {"turn/interrupt", METHOD_OWNER, METHOD_SUBSCRIBER},
    {"turn/settings/update", METHOD_OWNER, METHOD_MEMORY},
    {"turn/start", METHOD_STREAM, METHOD_TURN},
    {"turn/steer", METHOD_OWNER, METHOD_SUBSCRIBER},
    {"userVerification/delete", METHOD_GLOBAL, METHOD_STATE},
    {"userVerification/enroll", METHOD_GLOBAL, METHOD_STATE},
    {"userVerification/verify", METHOD_STREAM, 0},
    {"windowsSandbox/setupStart", METHOD_GLOBAL, METHOD_STATE},
};

static const struct method unknown = {"", METHOD_SHARED, 0};

/* Byte by byte: most names differ in one of the first. */
static int compare(struct slice name, const char *with)
{
    size_t i = 0;
    while (i < name.n && with[i] && name.p[i] == with[i])
        i++;
    if (i == name.n || !with[i])
        return (i < name.n) - (with[i] != '\0');
    return (unsigned char)name.p[i] - (unsigned char)with[i];
}

const struct method *method_find(struct slice name)
{
    size_t low = 0, high = ARRAY_LEN(methods);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(name, methods[middle].name);
        if (order == 0)
            return &methods[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return &unknown;
}

const struct method *method_table(size_t *count)
{
    *count = ARRAY_LEN(methods);
    return methods;
}
